-- Removes at most 100 tombstones made before $1, and moves their users' horizons past them: few enough not
-- to delay commits of these users. It waits for no lock: users whom a commit or another purge has locked
-- are skipped. Returns the number of tombstones removed.
WITH
old AS MATERIALIZED (
    SELECT user_id, id, seq FROM tombstones WHERE deleted_at < $1 ORDER BY deleted_at LIMIT 100
),
locked AS MATERIALIZED (
    SELECT u.id FROM users u WHERE u.id = ANY (ARRAY (SELECT o.user_id FROM old o))
    FOR NO KEY UPDATE SKIP LOCKED
),
due AS MATERIALIZED (SELECT o.* FROM old o WHERE (o.user_id IN (SELECT id FROM locked)) IS TRUE),
-- Checked against the newest version of the row: a concurrent erasure may have moved the horizon further.
moved AS (
    UPDATE users u SET horizon = d.seq
    FROM (SELECT user_id, max(seq) AS seq FROM due GROUP BY user_id) d
    WHERE u.id = d.user_id AND u.horizon < d.seq
),
-- Not a tombstone that was replaced since, because the task was created and deleted again.
gone AS (
    DELETE FROM tombstones t USING due d WHERE t.user_id = d.user_id AND t.id = d.id AND t.seq = d.seq
    RETURNING 1
)
SELECT count(*) FROM gone
