-- More of a task, idempotency keys, and how far back deletions are remembered. Every column is new and
-- may be left out of an INSERT.

ALTER TABLE users ADD COLUMN horizon INTEGER NOT NULL DEFAULT 0 -- the seq up to which tombstones may be gone
    CONSTRAINT users_horizon_range CHECK (horizon >= 0);

ALTER TABLE tasks ADD COLUMN priority TEXT
    CONSTRAINT tasks_priority_range CHECK (priority IN ('low', 'medium', 'high'));
ALTER TABLE tasks ADD COLUMN tags TEXT -- a JSON list of texts, in the user's order; NULL for none
    CONSTRAINT tasks_tags_length CHECK (json_array_length(tags) BETWEEN 1 AND 20);
ALTER TABLE tasks ADD COLUMN due_date TEXT -- an RFC 3339 date or instant, as the client wrote it
    CONSTRAINT tasks_due_date_length CHECK (octet_length(due_date) BETWEEN 10 AND 35);
ALTER TABLE tasks ADD COLUMN completed_at INTEGER;
ALTER TABLE tasks ADD COLUMN position TEXT
    CONSTRAINT tasks_position_length CHECK (octet_length(position) BETWEEN 1 AND 64);

-- The best that is known: completing a task was a change like any other.
UPDATE tasks SET completed_at = updated_at WHERE completed;

-- The purge goes through tombstones and keys from the oldest on.
CREATE INDEX tombstones_deleted_at_idx ON tombstones (deleted_at);

CREATE TABLE idempotency_keys (
    user_id     BLOB    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL, -- SHA-256 of the request
    answer      TEXT    NOT NULL,
    kept_at     INTEGER NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key),
    CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT idempotency_keys_key_length
        CHECK (octet_length(key) BETWEEN 1 AND 2048 AND instr(key, char(0)) = 0),
    CONSTRAINT idempotency_keys_fingerprint_length CHECK (length(fingerprint) = 32)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_kept_at_idx ON idempotency_keys (kept_at);
