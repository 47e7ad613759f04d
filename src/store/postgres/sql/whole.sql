-- Everything stored of a user, as of one instant: the columns of load.sql, then the kind of row (0 the
-- user, 1 a task, 2 a tombstone, 3 a key), the user's last batch, and a key's fingerprint. A tombstone's
-- and a key's time is in the column created_at; a key and its reply are in the columns title and
-- description.
SELECT NULL::uuid, subject, email, NULL::boolean, created_at, created_at, seq,
    {unset}, horizon, 0, last_batch, NULL::bytea
FROM users WHERE id = $1
UNION ALL
SELECT {task}, NULL, 1, NULL, NULL
FROM tasks WHERE user_id = $1
UNION ALL
SELECT id, NULL, NULL, NULL, deleted_at, NULL, seq, {unset}, NULL, 2, NULL, NULL
FROM tombstones WHERE user_id = $1
UNION ALL
SELECT NULL, key, answer, NULL, kept_at, NULL, NULL, {unset}, NULL, 3, NULL, fingerprint
FROM idempotency_keys WHERE user_id = $1
