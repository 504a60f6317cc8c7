-- name: some_heads
-- The next heads of a project, in their order.
SELECT head, seq FROM head WHERE project = ?1 AND (head, seq) > (?2, ?3)
ORDER BY head, seq LIMIT 512

-- name: note_pruned
-- Remembers below which place a project's heads may have gone.
UPDATE project SET pruned_below = ?2 WHERE id = ?1 AND pruned_below < ?2
