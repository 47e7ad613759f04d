-- The first part of the statement that commits a group: the batches. $1..$7 are arrays with one element per
-- batch. advance.sql or erase.sql comes next, then apply.sql.
--
-- All parts of one statement see one snapshot, taken before any lock. That is enough: a user passes the
-- fence only if the newest version of the row still has the seq that the lane knows, and a user's tasks
-- never change unless that seq changes too.
WITH
-- In the order of ids, so that the update locks the users' rows in that order: two processes whose groups
-- share users do not deadlock. They still may if they assign the same e-mail addresses at the same time;
-- then the server aborts one.
batch AS MATERIALIZED (
    SELECT b.id, b.subject, b.expected, b.reached, b.batch, b.key_bytes,
        -- An e-mail address that another user has is ignored: it is never a reason to refuse a write.
        CASE WHEN b.email IS NULL THEN NULL
             WHEN EXISTS (SELECT FROM users o WHERE o.email = b.email AND o.id <> b.id) THEN NULL
             ELSE b.email END AS email
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[],
            $7::bigint[])
        AS b (id, subject, email, expected, reached, batch, key_bytes)
    ORDER BY b.id
),
