-- The second part of the usual statement: the users move on to their next seq.
--
-- The fence, against the newest version of the row: an update in READ COMMITTED checks it again there.
updated AS (
    UPDATE users u SET seq = f.reached, last_batch = f.batch, email = coalesce(f.email, u.email)
    FROM free f WHERE u.id = f.id AND u.seq = f.expected
    RETURNING u.id
),
inserted AS (
    INSERT INTO users (id, subject, email, seq, last_batch)
    SELECT f.id, f.subject, f.email, f.reached, f.batch FROM free f WHERE f.expected = 0 ORDER BY f.id
    ON CONFLICT DO NOTHING
    RETURNING id
),
