-- A user with the tasks and deletions of seqs above $2 (all of them: 0), as of one instant. The user's own row comes
-- with an id of NULL, a tombstone without a title. All rows of the user's tasks are looked at, by the user's part of
-- the key: an index by version would cost every write, and end HOT updates. task_row.rs puts
-- a task's columns in the place of the words in braces.
SELECT NULL::uuid, subject, email, NULL::boolean, created_at, created_at, seq,
    {unset}, horizon
FROM users WHERE id = $1
UNION ALL
SELECT {task}, NULL
FROM tasks WHERE user_id = $1 AND version > $2
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, seq, {unset}, NULL
FROM tombstones WHERE user_id = $1 AND seq > $2
