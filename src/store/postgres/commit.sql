-- Commits one group: $1..$6 are the batches, one element each; $7..$14 the tasks' new states;
-- $15..$18 the deletions. Answers with the ids of the users whose batch is durable now.
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
),
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
passed AS (SELECT id FROM updated UNION ALL SELECT id FROM inserted),
-- "(… IN …) IS TRUE" is evaluated by a hash of the passed ids whatever the planner guesses of unnest; as
-- a join it may become a loop over every pair.
put AS (
    INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at, version)
    SELECT t.* FROM unnest($7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::boolean[],
        $12::timestamptz[], $13::timestamptz[], $14::bigint[])
        AS t (user_id, id, title, description, completed, created_at, updated_at, version)
    WHERE (t.user_id IN (SELECT id FROM passed)) IS TRUE
    ON CONFLICT (user_id, id) DO UPDATE SET title = excluded.title, description = excluded.description,
        completed = excluded.completed, created_at = excluded.created_at,
        updated_at = excluded.updated_at, version = excluded.version
),
gone AS MATERIALIZED (
    SELECT d.* FROM unnest($15::uuid[], $16::uuid[], $17::bigint[], $18::timestamptz[])
        AS d (user_id, id, seq, at)
    WHERE (d.user_id IN (SELECT id FROM passed)) IS TRUE
),
deleted AS (
    DELETE FROM tasks t USING gone g WHERE t.user_id = g.user_id AND t.id = g.id
),
buried AS (
    INSERT INTO tombstones (user_id, id, seq, deleted_at) SELECT g.* FROM gone g
    ON CONFLICT (user_id, id) DO UPDATE SET seq = excluded.seq, deleted_at = excluded.deleted_at
)
SELECT id FROM passed
UNION ALL
-- A batch sent again: what the row holds already is this very batch.
SELECT l.id FROM locked l WHERE (l.last_batch IN (SELECT unnest($6::uuid[]))) IS TRUE
