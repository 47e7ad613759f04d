-- Removes at most 500 tombstones of the user $1 up to the seq $2, where the horizon has passed them. It waits for
-- no lock: a tombstone that is being replaced is skipped. Returns the number removed.
WITH
old AS MATERIALIZED (
    SELECT t.id FROM tombstones t
    WHERE t.user_id = $1 AND t.seq <= least($2, (SELECT u.horizon FROM users u WHERE u.id = $1)) LIMIT 500
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM tombstones t USING old o WHERE t.user_id = $1 AND t.id = o.id
    RETURNING 1
)
SELECT count(*) FROM gone
