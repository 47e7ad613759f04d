-- The bytes that a user's idempotency keys take.

ALTER TABLE users ADD COLUMN key_bytes INTEGER NOT NULL DEFAULT 0
    CONSTRAINT users_key_bytes_range CHECK (key_bytes >= 0);

-- 100 bytes for each key, and its texts: `KeyRecord::bytes` in src/store/batch.rs.
UPDATE users SET key_bytes = k.bytes
FROM (
    SELECT user_id, sum(100 + octet_length(key) + octet_length(answer)) AS bytes
    FROM idempotency_keys JOIN users ON users.id = user_id WHERE idempotency_keys.seq > users.erased GROUP BY user_id
) k
WHERE users.id = k.user_id;
