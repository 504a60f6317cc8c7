-- name: oldest_with_body
-- The first completion whose body may still be there, with it, of those below a place.
SELECT seq, body FROM completion
WHERE project = ?1 AND seq < ?2
    AND seq >= (SELECT coalesce(max(below), 0) FROM hollow WHERE project = ?1)
ORDER BY seq LIMIT 1

-- name: note_hollow
-- No completion below a place has a body any more.
INSERT INTO hollow (project, below) VALUES (?1, ?2)
ON CONFLICT (project) DO UPDATE SET below = excluded.below

-- name: note_not_hollow
-- One comes, at a place that may be below.
UPDATE hollow SET below = ?2 WHERE project = ?1 AND below > ?2
