)
-- The ids of the users who passed.
SELECT id FROM passed
