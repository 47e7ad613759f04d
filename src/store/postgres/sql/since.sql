-- What load.sql reads, without the tasks and deletions of seqs up to $2. The rows of the user's tasks are all looked
-- at, by the user's part of the key: an index by version would cost every write, and end HOT updates.
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
