-- name: newest_chunks
-- The newest chunk of each term of a JSON array that has any.
SELECT term, seq, more FROM json_each(?2) AS wanted CROSS JOIN posting
WHERE project = ?1 AND term = wanted.value AND seq = (
    SELECT max(seq) FROM posting AS newest WHERE project = ?1 AND term = wanted.value
)

-- name: chunk_at
-- The chunk a place belongs to, the first of all if the place is before it, and the one behind it.
SELECT seq, more FROM posting
WHERE project = ?1 AND term = ?2 AND seq >= coalesce(
    (SELECT max(seq) FROM posting WHERE project = ?1 AND term = ?2 AND seq <= ?3), 0)
ORDER BY seq LIMIT 2

-- name: put_chunk
-- A chunk, new or changed.
INSERT OR REPLACE INTO posting (project, term, seq, more) VALUES (?1, ?2, ?3, ?4)

-- name: delete_single
-- A chunk that holds this place and no other.
DELETE FROM posting WHERE project = ?1 AND term = ?2 AND seq = ?3 AND more = x''

-- name: delete_chunk
-- A chunk that begins with another place now, or has none any more.
DELETE FROM posting WHERE project = ?1 AND term = ?2 AND seq = ?3

-- name: chunks_desc
-- The chunks that begin up to a place, newest first.
SELECT seq, more FROM posting WHERE project = ?1 AND term = ?2 AND seq <= ?3 ORDER BY seq DESC

-- name: chunks_asc
-- The chunks from the one a place belongs to, oldest first.
SELECT seq, more FROM posting
WHERE project = ?1 AND term = ?2 AND seq >= coalesce(
    (SELECT max(seq) FROM posting WHERE project = ?1 AND term = ?2 AND seq <= ?3), 0)
ORDER BY seq
