-- name: search_insert
-- The words of a completion, under its number.
INSERT INTO search (rowid, words) VALUES (?1, ?2)

-- name: search_append
-- The words of many, under numbers that rise evenly.
INSERT INTO search (rowid, words) SELECT ?1 + ?2 * rowid, value FROM carray(?3)

-- name: search_delete
-- The same words leave again.
INSERT INTO search (search, rowid, words) VALUES ('delete', ?1, ?2)

-- name: newest_number
-- The last number given out, and its place.
SELECT doc, seq FROM searched ORDER BY doc DESC LIMIT 1

-- name: number_from
-- The first number from one on, and its place.
SELECT doc, seq FROM searched WHERE doc >= ?1 ORDER BY doc LIMIT 1

-- name: number_up_to
-- The last number of a place up to one: both rise together, so half of them is left out at a time.
WITH RECURSIVE halved (low, high) AS (
    SELECT 0, coalesce(max(doc), 0) + 1 FROM searched
    UNION ALL
    SELECT
        iif(there.doc < high AND there.seq <= ?1, there.doc, low),
        iif(there.doc < high AND there.seq <= ?1, high, (low + high) / 2)
    FROM halved CROSS JOIN searched AS there
        ON there.doc = (SELECT min(doc) FROM searched WHERE doc >= (low + high) / 2)
    WHERE high - low > 1
)
SELECT doc, seq FROM halved CROSS JOIN searched ON doc = low WHERE high - low = 1

-- name: insert_searched
-- The number of a place.
INSERT INTO searched (doc, seq) VALUES (?1, ?2)

-- name: delete_searched
-- No more of it.
DELETE FROM searched WHERE doc = ?1

-- name: search_desc
-- The places where an expression is found, newest first.
SELECT seq FROM search CROSS JOIN searched ON doc = search.rowid
WHERE search MATCH ?1 AND search.rowid BETWEEN ?2 AND ?3
ORDER BY search.rowid DESC

-- name: search_asc
-- The places where an expression is found, oldest first.
SELECT seq FROM search CROSS JOIN searched ON doc = search.rowid
WHERE search MATCH ?1 AND search.rowid BETWEEN ?2 AND ?3
ORDER BY search.rowid

-- name: insert_crowded
-- A place that found no number.
INSERT INTO crowded (seq) VALUES (?1)

-- name: delete_crowded
-- No more of it.
DELETE FROM crowded WHERE seq = ?1 RETURNING seq

-- name: some_crowded
-- Whether there is such a place in a range.
SELECT seq FROM crowded WHERE seq BETWEEN ?1 AND ?2 LIMIT 1

-- name: crowded_desc
-- Those in which an expression is found, newest first.
SELECT -rowid FROM search
WHERE search MATCH ?1 AND rowid BETWEEN -?3 AND -?2
ORDER BY rowid

-- name: crowded_asc
-- Those in which an expression is found, oldest first.
SELECT -rowid FROM search
WHERE search MATCH ?1 AND rowid BETWEEN -?3 AND -?2
ORDER BY rowid DESC
