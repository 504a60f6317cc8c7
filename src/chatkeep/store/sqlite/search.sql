-- name: search_insert
-- The words of a completion, under its number.
INSERT INTO search (rowid, words) VALUES (?1, ?2)

-- name: search_delete
-- The same words leave again.
INSERT INTO search (search, rowid, words) VALUES ('delete', ?1, ?2)

-- name: search_neighbours
-- The numbers before and behind a place.
SELECT
    (SELECT doc FROM searched WHERE seq < ?1 ORDER BY seq DESC LIMIT 1),
    (SELECT doc FROM searched WHERE seq > ?1 ORDER BY seq LIMIT 1)

-- name: insert_searched
-- The number of a place.
INSERT INTO searched (doc, seq) VALUES (?1, ?2)

-- name: delete_searched
-- No more of it.
DELETE FROM searched WHERE seq = ?1 RETURNING doc

-- name: search_desc
-- The places where an expression is found, newest first.
SELECT seq FROM search CROSS JOIN searched ON doc = search.rowid
WHERE search MATCH ?1
    AND search.rowid >= (SELECT coalesce(min(doc), 0x7fffffffffffffff) FROM (
        SELECT doc FROM searched WHERE seq >= ?2 ORDER BY seq LIMIT 1))
    AND search.rowid <= (SELECT coalesce(max(doc), -1) FROM (
        SELECT doc FROM searched WHERE seq <= ?3 ORDER BY seq DESC LIMIT 1))
ORDER BY search.rowid DESC

-- name: search_asc
-- The places where an expression is found, oldest first.
SELECT seq FROM search CROSS JOIN searched ON doc = search.rowid
WHERE search MATCH ?1
    AND search.rowid >= (SELECT coalesce(min(doc), 0x7fffffffffffffff) FROM (
        SELECT doc FROM searched WHERE seq >= ?2 ORDER BY seq LIMIT 1))
    AND search.rowid <= (SELECT coalesce(max(doc), -1) FROM (
        SELECT doc FROM searched WHERE seq <= ?3 ORDER BY seq DESC LIMIT 1))
ORDER BY search.rowid

-- name: crowded_insert
-- The words of a completion that has no number.
INSERT INTO crowded (rowid, words) VALUES (?1, ?2)

-- name: crowded_delete
-- The same words leave again.
INSERT INTO crowded (crowded, rowid, words) VALUES ('delete', ?1, ?2)

-- name: crowded_has
-- Whether such a completion is found by a word.
SELECT rowid FROM crowded WHERE crowded MATCH ?1 AND rowid = ?2

-- name: crowded_desc
-- Those in which an expression is found, newest first.
SELECT rowid FROM crowded
WHERE crowded MATCH ?1 AND rowid BETWEEN ?2 AND ?3
ORDER BY rowid DESC

-- name: crowded_asc
-- Those in which an expression is found, oldest first.
SELECT rowid FROM crowded
WHERE crowded MATCH ?1 AND rowid BETWEEN ?2 AND ?3
ORDER BY rowid
