-- The second part of the statement for batches that erase: the users advance to their next seq and lose all
-- data.
--
-- One statement may change a row only once, so rows that the batch itself writes are left to apply.sql.
updated AS (
    UPDATE users u SET seq = b.reached, last_batch = b.batch, email = b.email, horizon = b.reached,
        key_bytes = b.key_bytes
    FROM batch b WHERE u.id = b.id AND u.seq = b.expected AND u.last_batch IS DISTINCT FROM b.batch
    RETURNING u.id
),
inserted AS (
    INSERT INTO users (id, subject, email, seq, last_batch, horizon, key_bytes)
    SELECT b.id, b.subject, b.email, b.reached, b.batch, b.reached, b.key_bytes FROM batch b
    WHERE b.expected = 0
    ORDER BY b.id
    ON CONFLICT DO NOTHING
    RETURNING id
),
no_tasks AS (
    DELETE FROM tasks t USING updated u WHERE t.user_id = u.id
        AND (t.user_id, t.id) NOT IN (SELECT * FROM unnest($17::uuid[], $18::uuid[]))
        AND (t.user_id, t.id) NOT IN (SELECT * FROM unnest($8::uuid[], $9::uuid[]))
),
no_tombstones AS (
    DELETE FROM tombstones t USING updated u WHERE t.user_id = u.id
        AND (t.user_id, t.id) NOT IN (SELECT * FROM unnest($8::uuid[], $9::uuid[]))
),
no_keys AS (
    DELETE FROM idempotency_keys k USING updated u WHERE k.user_id = u.id
        AND (k.user_id, k.key) NOT IN (SELECT * FROM unnest($12::uuid[], $13::text[]))
),
