-- Removes at most 100 keys stored before $1, and lowers their users' sums of bytes: few enough not to delay commits
-- of these users. $2 is what a key takes apart from its texts. It waits for no lock: users whom a commit or another
-- purge has locked are skipped. Returns the number of keys removed.
WITH
old AS MATERIALIZED (
    SELECT user_id, key, $2::bigint + octet_length(key) + octet_length(answer) AS bytes
    FROM idempotency_keys WHERE kept_at < $1 ORDER BY kept_at LIMIT 100
),
locked AS MATERIALIZED (
    SELECT u.id FROM users u WHERE u.id = ANY (ARRAY (SELECT o.user_id FROM old o))
    FOR NO KEY UPDATE SKIP LOCKED
),
-- Not a key that was replaced since, by an erasure.
gone AS (
    DELETE FROM idempotency_keys k USING old o WHERE k.user_id = o.user_id AND k.key = o.key AND k.kept_at < $1
        AND (o.user_id IN (SELECT id FROM locked)) IS TRUE
    RETURNING k.user_id, o.bytes
),
-- A process of the version before does not count the keys that it stores.
lowered AS (
    UPDATE users u SET key_bytes = greatest(0, u.key_bytes - g.bytes)
    FROM (SELECT user_id, sum(bytes)::bigint AS bytes FROM gone GROUP BY user_id) g
    WHERE u.id = g.user_id
)
SELECT count(*) FROM gone
