-- Large batches are written, and erased rows removed, a slice at a time, with other users' commits in between. What
-- is there and counts for nothing: a task above its user's seq (not shown yet), and anything up to `erased`.

ALTER TABLE users ADD COLUMN erased INTEGER NOT NULL DEFAULT -1; -- the seq up to which everything is gone
ALTER TABLE users ADD COLUMN unswept BLOB -- the batch that may have left such rows; no other is applied meanwhile
    CONSTRAINT users_unswept_length CHECK (length(unswept) = 16);

-- The next start finds here what a killed process left.
CREATE INDEX users_unswept_idx ON users (id) WHERE unswept IS NOT NULL;

ALTER TABLE idempotency_keys ADD COLUMN seq INTEGER NOT NULL DEFAULT 0; -- the user's, once the key was stored
