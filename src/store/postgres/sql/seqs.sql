-- The newest seq of each user.
SELECT id, seq FROM users WHERE id = ANY ($1::uuid[])
