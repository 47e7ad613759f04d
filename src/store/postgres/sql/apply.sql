-- The last part: the changes of the users who passed the fence. $8..$11 are the deletions, $12..$16 the
-- keys, and from $17 on the tasks' new states. task_row.rs replaces the words in braces.
passed AS (SELECT id FROM updated UNION ALL SELECT id FROM inserted),
-- "(… IN …) IS TRUE" always uses a hash of the passed ids, however many rows the planner expects of unnest.
-- A join might loop over every pair.
put AS (
    {insert_tasks}
    WHERE (t.user_id IN (SELECT id FROM passed)) IS TRUE
    {replace_tasks}
),
gone AS MATERIALIZED (
    SELECT d.* FROM unnest($8::uuid[], $9::uuid[], $10::bigint[], $11::timestamptz[])
        AS d (user_id, id, seq, at)
    WHERE (d.user_id IN (SELECT id FROM passed)) IS TRUE
),
deleted AS (
    DELETE FROM tasks t USING gone g WHERE t.user_id = g.user_id AND t.id = g.id
),
buried AS (
    INSERT INTO tombstones (user_id, id, seq, deleted_at) SELECT g.* FROM gone g
    ON CONFLICT (user_id, id) DO UPDATE SET seq = excluded.seq, deleted_at = excluded.deleted_at
),
-- A key that another batch has stored makes this fail, and the batch's outcome a conflict.
kept AS (
    INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at)
    SELECT k.* FROM unnest($12::uuid[], $13::text[], $14::bytea[], $15::text[], $16::timestamptz[])
        AS k (user_id, key, fingerprint, answer, kept_at)
    WHERE (k.user_id IN (SELECT id FROM passed)) IS TRUE
