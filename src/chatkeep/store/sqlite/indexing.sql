-- name: reach
-- The place up to which completions are in search, and how many wait behind it.
SELECT reach.seq, (SELECT count(*) FROM record WHERE record.seq > reach.seq)
FROM search_reach AS reach

-- name: set_reach
-- All up to there are in search now.
UPDATE search_reach SET seq = ?1

-- name: waiting
-- Those behind a place, oldest first.
SELECT seq, project FROM record WHERE seq > ?1 ORDER BY seq

-- name: some_wait
-- Whether there are any.
SELECT 1 FROM search_reach JOIN record ON record.seq > search_reach.seq LIMIT 1
