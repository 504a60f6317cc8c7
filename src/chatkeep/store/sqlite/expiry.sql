-- name: expired_below
-- Below which place no completion of a project has a body.
SELECT expired_below FROM project WHERE id = ?1

-- name: select_body_of
-- The body of a completion, whatever form it has.
SELECT body FROM record WHERE seq = ?1

-- name: note_expired
-- No completion below a place has a body any more.
UPDATE project SET expired_below = ?2 WHERE id = ?1

-- name: note_not_expired
-- One comes, at a place that may be below.
UPDATE project SET expired_below = ?2 WHERE id = ?1 AND expired_below > ?2
