-- More of a task, idempotency keys, and how far back deletions are remembered. Every column is new and
-- may be left out of an INSERT: a process of the version before goes on working on these tables.

ALTER TABLE users
    ADD COLUMN horizon bigint NOT NULL DEFAULT 0 -- the seq up to which tombstones may be gone
        CONSTRAINT users_horizon_range CHECK (horizon >= 0);

ALTER TABLE tasks
    ADD COLUMN priority text CONSTRAINT tasks_priority_range CHECK (priority IN ('low', 'medium', 'high')),
    ADD COLUMN tags jsonb -- a list of texts, in the user's order; NULL for none
        CONSTRAINT tasks_tags_length CHECK (jsonb_array_length(tags) BETWEEN 1 AND 20),
    ADD COLUMN due_date text -- an RFC 3339 date or instant, as the client wrote it
        CONSTRAINT tasks_due_date_length CHECK (octet_length(due_date) BETWEEN 10 AND 35),
    ADD COLUMN completed_at timestamptz,
    ADD COLUMN position text COLLATE "C"
        CONSTRAINT tasks_position_length CHECK (octet_length(position) BETWEEN 1 AND 64);

-- The best that is known: completing a task was a change like any other.
UPDATE tasks SET completed_at = updated_at WHERE completed;

-- The purge goes through tombstones and keys from the oldest on. Both indexes only ever grow at their
-- right end, which is the cheapest way for an index to grow.
CREATE INDEX tombstones_deleted_at_idx ON tombstones (deleted_at);

CREATE TABLE idempotency_keys (
    user_id     uuid        NOT NULL,
    key         text        COLLATE "C" NOT NULL,
    fingerprint bytea       NOT NULL, -- SHA-256 of the request
    answer      text        NOT NULL,
    kept_at     timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key),
    CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT idempotency_keys_key_length CHECK (octet_length(key) BETWEEN 1 AND 2048), -- fits its index
    CONSTRAINT idempotency_keys_fingerprint_length CHECK (octet_length(fingerprint) = 32)
);

CREATE INDEX idempotency_keys_kept_at_idx ON idempotency_keys (kept_at);
