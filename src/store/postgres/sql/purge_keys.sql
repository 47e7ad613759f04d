-- Removes at most 500 keys stored before $1. It waits for no lock: a key that is being replaced is skipped.
-- Returns the number of keys removed.
WITH
old AS MATERIALIZED (
    SELECT user_id, key FROM idempotency_keys WHERE kept_at < $1 ORDER BY kept_at LIMIT 500
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM idempotency_keys k USING old o WHERE k.user_id = o.user_id AND k.key = o.key
    RETURNING 1
)
SELECT count(*) FROM gone
