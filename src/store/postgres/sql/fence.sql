-- The first part of the statement that commits one group: what the batches ask for. $1..$6 are the batches,
-- one element each. Next comes advance.sql or erase.sql, then apply.sql.
--
-- All parts of one statement see one snapshot, taken before any lock. That is enough: a user passes only
-- if the newest version of the row still has the seq the lane knows, and no change of a user's tasks
-- ever comes without a change of that seq.
WITH
-- In the order of ids, in which the users' rows are then locked by their update: two processes whose groups share
-- users do not wait for each other in a circle, unless they give the same e-mail addresses away at the same instant; then
-- the server ends one of them.
batch AS MATERIALIZED (
    SELECT b.id, b.subject, b.expected, b.reached, b.batch,
        -- An e-mail address that another user holds is left out, and never a reason to fail.
        CASE WHEN b.email IS NULL THEN NULL
             WHEN EXISTS (SELECT FROM users o WHERE o.email = b.email AND o.id <> b.id) THEN NULL
             ELSE b.email END AS email
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[])
        AS b (id, subject, email, expected, reached, batch)
    ORDER BY b.id
),
