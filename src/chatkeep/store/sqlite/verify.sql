-- name: integrity
-- What SQLite itself finds wrong with the file.
SELECT integrity_check FROM pragma_integrity_check

-- name: foreign_keys
-- References to what is not there.
SELECT "table", rowid, parent, fkid FROM pragma_foreign_key_check

-- name: all_records
-- Every record of a project in order.
SELECT seq FROM record WHERE project = ?1 ORDER BY seq

-- name: postings_of_project
-- Every index entry of a project, as it lies.
SELECT term, seq, more FROM posting WHERE project = ?1

-- name: prefix_hashes_of_project
-- By which completions of a project are found by what continues them.
SELECT hash, seq FROM prefix_hash WHERE project = ?1

-- name: pruned_below
-- From which place on all prefix hashes of a project are to be there.
SELECT pruned_below FROM project WHERE id = ?1

-- name: remnants_of_project
-- What is left of a project's deleted completions.
SELECT seq, body FROM remnant WHERE project = ?1

-- name: all_uses
-- How often texts are said to be referred to, and whether they are there.
SELECT key, uses, shared.key IS NOT NULL FROM shared_use LEFT JOIN shared USING (key)

-- name: unused_texts
-- Texts nobody is said to refer to.
SELECT count(*) FROM shared WHERE key NOT IN (SELECT key FROM shared_use)

-- name: changes_of_nothing
-- Metadata set for completions that are not there.
SELECT seq FROM changed_metadata WHERE seq NOT IN (SELECT seq FROM record)

-- name: all_searched
-- What search has numbered, in the order of the numbers, and whether it is there.
SELECT searched.seq, record.seq IS NOT NULL
FROM searched LEFT JOIN record ON record.seq = searched.seq ORDER BY searched.doc

-- name: searched_and_waiting
-- What search has although it waits to be searched.
SELECT seq FROM (SELECT seq FROM searched UNION ALL SELECT seq FROM crowded)
WHERE seq > (SELECT seq FROM search_reach)

-- name: crowded_of_nothing
-- What search has without a number and is not there.
SELECT seq FROM crowded WHERE seq NOT IN (SELECT seq FROM record)
