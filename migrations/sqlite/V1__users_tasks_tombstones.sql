-- The tables of Tasklane. Ids are 16-byte BLOBs (half the size of text in three indexes), instants are
-- microseconds since the Unix epoch. length() stops at U+0000, so that character is refused by name.

CREATE TABLE users (
    id         BLOB    NOT NULL,
    subject    TEXT    NOT NULL, -- the token's subject; the id is made from it
    email      TEXT,
    seq        INTEGER NOT NULL, -- raised by one for every change; the fence
    last_batch BLOB,             -- the batch that made this seq: knows a re-sent one
    created_at INTEGER NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_subject_key UNIQUE (subject),
    CONSTRAINT users_id_length CHECK (length(id) = 16),
    CONSTRAINT users_subject_length
        CHECK (octet_length(subject) BETWEEN 1 AND 2048 AND instr(subject, char(0)) = 0),
    CONSTRAINT users_email_length CHECK (length(email) BETWEEN 1 AND 320 AND instr(email, char(0)) = 0),
    CONSTRAINT users_seq_range CHECK (seq >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX users_email_key ON users (email) WHERE email IS NOT NULL;

-- WITHOUT ROWID keeps the rows in the order of the key: a user's tasks lie side by side, and loading
-- a user reads neighbouring pages. No further index: lists are served from memory.
CREATE TABLE tasks (
    user_id     BLOB    NOT NULL,
    id          BLOB    NOT NULL, -- may be the client's choice, hence unique per user only
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL, -- the user's seq at the task's last change
    completed   INTEGER NOT NULL,
    title       TEXT    NOT NULL,
    description TEXT,
    CONSTRAINT tasks_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT tasks_id_length CHECK (length(id) = 16),
    CONSTRAINT tasks_completed_range CHECK (completed IN (0, 1)),
    CONSTRAINT tasks_title_length CHECK (length(title) BETWEEN 1 AND 200 AND instr(title, char(0)) = 0),
    CONSTRAINT tasks_description_length
        CHECK (length(description) <= 2000 AND instr(description, char(0)) = 0),
    CONSTRAINT tasks_version_range CHECK (version > 0)
) STRICT, WITHOUT ROWID;

-- A tombstone outlives the re-creation of its task: readers ignore it while the task exists.
CREATE TABLE tombstones (
    user_id    BLOB    NOT NULL,
    id         BLOB    NOT NULL,
    seq        INTEGER NOT NULL, -- the deletion's own
    deleted_at INTEGER NOT NULL,
    CONSTRAINT tombstones_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT tombstones_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT tombstones_id_length CHECK (length(id) = 16),
    CONSTRAINT tombstones_seq_range CHECK (seq > 0)
) STRICT, WITHOUT ROWID;
