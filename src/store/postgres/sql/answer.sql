)
-- The ids of the users who passed the fence.
SELECT id FROM passed
