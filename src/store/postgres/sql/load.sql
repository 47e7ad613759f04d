-- A user with the tasks and tombstones above seq $2 (0: all of them), as of one instant. The user's own row
-- has the id NULL and, as one column, the horizon and the keys' bytes; a tombstone has no title. All of the user's tasks are scanned, by the first part of the
-- primary key: an index on the version would make every write dearer and prevent HOT updates. task_row.rs
-- replaces the words in braces.
SELECT NULL::uuid, subject, email, NULL::boolean, created_at, created_at, seq,
    {unset}, ARRAY[horizon, key_bytes]
FROM users WHERE id = $1
UNION ALL
SELECT {task}, NULL
FROM tasks WHERE user_id = $1 AND version > $2
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, seq, {unset}, NULL
FROM tombstones WHERE user_id = $1 AND seq > $2
