-- The second part of the statement for batches that do not erase: the users advance to their next seq.
--
-- The fence is checked against the newest version of the row, because an update in READ COMMITTED checks
-- its condition again there. last_batch is checked too: a batch with only keys leaves the seq unchanged, so
-- a retry of it would pass the fence a second time.
updated AS (
    UPDATE users u SET seq = b.reached, last_batch = b.batch, email = coalesce(b.email, u.email),
        key_bytes = u.key_bytes + b.key_bytes
    FROM batch b WHERE u.id = b.id AND u.seq = b.expected AND u.last_batch IS DISTINCT FROM b.batch
    RETURNING u.id
),
inserted AS (
    INSERT INTO users (id, subject, email, seq, last_batch, key_bytes)
    SELECT b.id, b.subject, b.email, b.reached, b.batch, b.key_bytes FROM batch b WHERE b.expected = 0
    ORDER BY b.id
    ON CONFLICT DO NOTHING
    RETURNING id
),
