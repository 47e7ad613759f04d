-- A user with the tasks and deletions of seqs above $2 (all of them: 0), as of one instant. The user's own row comes
-- with an id of NULL, a tombstone without a title. All rows of the user's tasks are looked at, by the user's part of
-- the key: an index by version would cost every write, and end HOT updates.
SELECT NULL::uuid, subject, email, NULL::boolean, created_at, created_at, seq,
    NULL, NULL, NULL, NULL::timestamptz, NULL, horizon
FROM users WHERE id = $1
UNION ALL
SELECT id, title, description, completed, created_at, updated_at, version,
    priority, tags::text, due_date, completed_at, position, NULL
FROM tasks WHERE user_id = $1 AND version > $2
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, seq, NULL, NULL, NULL, NULL, NULL, NULL
FROM tombstones WHERE user_id = $1 AND seq > $2
