-- name: hollow_below
-- Below which place no completion of a project has a body.
SELECT below FROM hollow WHERE project = ?1

-- name: select_body_of
-- The body of a completion, whatever form it has.
SELECT body FROM completion WHERE seq = ?1

-- name: note_hollow
-- No completion below a place has a body any more.
INSERT INTO hollow (project, below) VALUES (?1, ?2)
ON CONFLICT (project) DO UPDATE SET below = excluded.below

-- name: note_not_hollow
-- One comes, at a place that may be below.
UPDATE hollow SET below = ?2 WHERE project = ?1 AND below > ?2
