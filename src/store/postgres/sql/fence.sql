-- The first part of the statement that commits one group: who may pass. $1..$6 are the batches, one
-- element each. Next comes advance.sql or erase.sql, then apply.sql.
--
-- All parts of one statement see one snapshot, taken before any lock. That is enough: a user passes only
-- if the newest version of the row still has the seq the lane knows, and no change of a user's tasks
-- ever comes without a change of that seq.
WITH
-- Locks in the order of ids: two processes whose groups share users can never deadlock.
locked AS MATERIALIZED (
    SELECT u.id, u.last_batch FROM users u WHERE u.id = ANY ($1::uuid[]) ORDER BY u.id FOR UPDATE
),
-- The count makes every lock be held before the first row is written.
batch AS MATERIALIZED (
    SELECT b.* FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[])
        AS b (id, subject, email, expected, reached, batch)
    WHERE (SELECT count(*) FROM locked) >= 0
),
-- An e-mail address that another user holds is left out, and never a reason to fail.
free AS MATERIALIZED (
    SELECT b.id, b.subject, b.expected, b.reached, b.batch,
        CASE WHEN b.email IS NULL THEN NULL
             WHEN EXISTS (SELECT FROM users o WHERE o.email = b.email AND o.id <> b.id) THEN NULL
             ELSE b.email END AS email
    FROM batch b
    -- A batch of keys alone leaves the seq as it is: sent again, it would pass once more.
    WHERE (b.batch IN (SELECT l.last_batch FROM locked l)) IS NOT TRUE
),
