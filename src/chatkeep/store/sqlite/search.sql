-- name: search_insert
-- The words of a completion.
INSERT INTO search (rowid, words) VALUES (?1, ?2)

-- name: search_delete
-- The same words leave again.
INSERT INTO search (search, rowid, words) VALUES ('delete', ?1, ?2)

-- name: search_has
-- Whether a completion is found by a word.
SELECT rowid FROM search WHERE search MATCH ?1 AND rowid = ?2

-- name: search_desc
-- The places where an expression is found, newest first.
SELECT rowid FROM search
WHERE search MATCH ?1 AND rowid BETWEEN ?2 AND ?3
ORDER BY rowid DESC

-- name: search_asc
-- The places where an expression is found, oldest first.
SELECT rowid FROM search
WHERE search MATCH ?1 AND rowid BETWEEN ?2 AND ?3
ORDER BY rowid
