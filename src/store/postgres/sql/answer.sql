)
-- The ids of the users whose batch is durable now.
SELECT id FROM passed
UNION ALL
-- A batch sent again: what the row holds already is this very batch.
SELECT l.id FROM locked l WHERE (l.last_batch IN (SELECT unnest($6::uuid[]))) IS TRUE
