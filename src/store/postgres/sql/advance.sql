-- The second part of the usual statement: the users move on to their next seq.
--
-- The fence, against the newest version of the row: an update in READ COMMITTED checks it again there. A batch of keys
-- alone leaves the seq as it is, and would pass once more when it is sent again.
updated AS (
    UPDATE users u SET seq = b.reached, last_batch = b.batch, email = coalesce(b.email, u.email)
    FROM batch b WHERE u.id = b.id AND u.seq = b.expected AND u.last_batch IS DISTINCT FROM b.batch
    RETURNING u.id
),
inserted AS (
    INSERT INTO users (id, subject, email, seq, last_batch)
    SELECT b.id, b.subject, b.email, b.reached, b.batch FROM batch b WHERE b.expected = 0 ORDER BY b.id
    ON CONFLICT DO NOTHING
    RETURNING id
),
