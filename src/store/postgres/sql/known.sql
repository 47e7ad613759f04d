-- The batch that made each user's seq, for users who did not pass the fence. The locks matter: they wait
-- for a transaction that is still committing the same batch. And because they are written to the log, this
-- transaction ends only once a synchronous standby has what was read here; the batch's own wait for the
-- standby may have been cut short.
SELECT id, last_batch FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
