-- Which batch made each user's seq: asked for those who did not pass. The locks are not idle: they wait for whoever is
-- still committing the same batch, and, as they are written to the log, this transaction ends only once a synchronous
-- standby has what it has read. That batch's own wait for the standby may have been cut short.
SELECT id, last_batch FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
