-- The bytes that a user's idempotency keys take. The column may be left out of an INSERT: a process of the version
-- before goes on working on these tables, though it does not count the keys that it stores or purges.

ALTER TABLE users
    ADD COLUMN key_bytes bigint NOT NULL DEFAULT 0
        CONSTRAINT users_key_bytes_range CHECK (key_bytes >= 0);

-- 100 bytes for each key, and its texts: `KeyRecord::bytes` in src/store/batch.rs.
UPDATE users u SET key_bytes = k.bytes
FROM (
    SELECT user_id, sum(100 + octet_length(key) + octet_length(answer)) AS bytes FROM idempotency_keys GROUP BY user_id
) k
WHERE u.id = k.user_id;
