-- name: some_prefix_hashes
-- The next prefix hashes of a project, in their order.
SELECT hash, seq FROM prefix_hash WHERE project = ?1 AND (hash, seq) > (?2, ?3)
ORDER BY hash, seq LIMIT 512

-- name: note_pruned
-- Remembers below which place a project's prefix hashes may have gone.
UPDATE project SET pruned_below = ?2 WHERE id = ?1 AND pruned_below < ?2
