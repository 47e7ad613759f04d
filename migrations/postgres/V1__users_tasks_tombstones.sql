-- The tables of Tasklane. Every statement of the service goes by primary key (or, for an e-mail
-- address, by its unique index); texts are compared byte by byte ("C"), so that no index depends on
-- the server's locale library.

CREATE TABLE users (
    id         uuid        NOT NULL,
    subject    text        COLLATE "C" NOT NULL, -- the token's subject; the id is made from it
    email      text        COLLATE "C",
    seq        bigint      NOT NULL,             -- raised by one for every change; the fence
    last_batch uuid,                             -- the batch that made this seq: knows a re-sent one
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_subject_key UNIQUE (subject),
    CONSTRAINT users_subject_length CHECK (octet_length(subject) BETWEEN 1 AND 2048), -- fits its index
    CONSTRAINT users_email_length CHECK (char_length(email) BETWEEN 1 AND 320),
    CONSTRAINT users_seq_range CHECK (seq >= 0)
) WITH (fillfactor = 50);
-- Half of each page stays free: every commit updates its user's row, and as neither seq nor last_batch
-- is in an index, the new version stays in the page (a HOT update) and touches no index.

CREATE UNIQUE INDEX users_email_key ON users (email) WHERE email IS NOT NULL;

CREATE TABLE tasks (
    user_id     uuid        NOT NULL,
    id          uuid        NOT NULL, -- may be the client's choice, hence unique per user only
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     bigint      NOT NULL, -- the user's seq at the task's last change
    completed   boolean     NOT NULL,
    title       text        NOT NULL,
    description text,
    CONSTRAINT tasks_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT tasks_description_length CHECK (char_length(description) <= 2000),
    CONSTRAINT tasks_version_range CHECK (version > 0)
) WITH (fillfactor = 90);
-- No index on (user_id, created_at) or (user_id, version): lists are served from memory, a user is
-- always loaded whole, and the change feed reads one user's rows by the primary key. An index with no
-- reader would only cost every write, and one on version would end HOT updates of tasks.

CREATE TABLE tombstones (
    user_id    uuid        NOT NULL,
    id         uuid        NOT NULL,
    seq        bigint      NOT NULL, -- the deletion's own
    deleted_at timestamptz NOT NULL,
    CONSTRAINT tombstones_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT tombstones_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT tombstones_seq_range CHECK (seq > 0)
);
-- A tombstone outlives the re-creation of its task (no delete in the hot path): readers ignore it
-- while the task exists.
