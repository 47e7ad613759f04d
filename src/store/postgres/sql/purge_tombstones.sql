-- Forgets up to 100 tombstones made before $1, and moves their users' horizons past them: few enough for
-- commits of these users not to notice. It waits for nobody: users that a commit, or another purge, is at
-- work on are left out. Answers with how many tombstones went.
WITH
old AS MATERIALIZED (
    SELECT user_id, id, seq FROM tombstones WHERE deleted_at < $1 ORDER BY deleted_at LIMIT 100
),
locked AS MATERIALIZED (
    SELECT u.id FROM users u WHERE u.id = ANY (ARRAY (SELECT o.user_id FROM old o))
    FOR NO KEY UPDATE SKIP LOCKED
),
due AS MATERIALIZED (SELECT o.* FROM old o WHERE (o.user_id IN (SELECT id FROM locked)) IS TRUE),
-- Against the newest version of the row: an erasure just before may have moved the horizon further.
moved AS (
    UPDATE users u SET horizon = d.seq
    FROM (SELECT user_id, max(seq) AS seq FROM due GROUP BY user_id) d
    WHERE u.id = d.user_id AND u.horizon < d.seq
),
-- Not a tombstone that was renewed since: the task was made again, and deleted again.
gone AS (
    DELETE FROM tombstones t USING due d WHERE t.user_id = d.user_id AND t.id = d.id AND t.seq = d.seq
    RETURNING 1
)
SELECT count(*) FROM gone
