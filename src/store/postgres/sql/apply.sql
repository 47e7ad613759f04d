-- The last part: what the users who passed have changed. $7..$19 are the tasks' new states, $20..$23 the
-- deletions, $24..$28 the keys.
passed AS (SELECT id FROM updated UNION ALL SELECT id FROM inserted),
-- "(… IN …) IS TRUE" is evaluated by a hash of the passed ids whatever the planner guesses of unnest; as
-- a join it may become a loop over every pair.
put AS (
    INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at, version,
        priority, tags, due_date, completed_at, position)
    SELECT t.user_id, t.id, t.title, t.description, t.completed, t.created_at, t.updated_at, t.version,
        t.priority, t.tags::jsonb, t.due_date, t.completed_at, t.position
    FROM unnest($7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::boolean[], $12::timestamptz[],
        $13::timestamptz[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::timestamptz[],
        $19::text[])
        AS t (user_id, id, title, description, completed, created_at, updated_at, version, priority, tags,
            due_date, completed_at, position)
    WHERE (t.user_id IN (SELECT id FROM passed)) IS TRUE
    ON CONFLICT (user_id, id) DO UPDATE SET title = excluded.title, description = excluded.description,
        completed = excluded.completed, created_at = excluded.created_at,
        updated_at = excluded.updated_at, version = excluded.version, priority = excluded.priority,
        tags = excluded.tags, due_date = excluded.due_date, completed_at = excluded.completed_at,
        position = excluded.position
),
gone AS MATERIALIZED (
    SELECT d.* FROM unnest($20::uuid[], $21::uuid[], $22::bigint[], $23::timestamptz[])
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
-- A key that another batch has stored makes this an error, and the batch a conflict.
kept AS (
    INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at)
    SELECT k.* FROM unnest($24::uuid[], $25::text[], $26::bytea[], $27::text[], $28::timestamptz[])
        AS k (user_id, key, fingerprint, answer, kept_at)
    WHERE (k.user_id IN (SELECT id FROM passed)) IS TRUE
