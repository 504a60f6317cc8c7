-- name: candidates
-- The newest completions whose messages end in a prefix hash, of a stretch of time.
SELECT seq FROM prefix_hash WHERE project = ?1 AND hash = ?2 AND seq BETWEEN ?3 AND ?4
ORDER BY seq DESC LIMIT 4

-- name: insert_prefix_hash
-- By which a completion is found.
INSERT INTO prefix_hash (project, hash, seq) VALUES (?1, ?2, ?3)

-- name: delete_prefix_hash
-- By which a completion was found.
DELETE FROM prefix_hash WHERE project = ?1 AND hash = ?2 AND seq = ?3

-- name: select_body
-- The remnant of a body that is gone, else the body, with its base and its parent.
SELECT base, NULL, body FROM remnant WHERE seq = ?1
UNION ALL
SELECT base, parent, body FROM record WHERE seq = ?1

-- name: select_remnant
-- What is left of a deleted completion.
SELECT base, NULL, body FROM remnant WHERE seq = ?1

-- name: children
-- The bodies whose base one is.
SELECT seq, body FROM record WHERE base = ?1
UNION ALL
SELECT seq, body FROM remnant WHERE base = ?1

-- name: put_remnant
-- What is left of a deleted completion.
INSERT OR REPLACE INTO remnant (seq, project, base, body) VALUES (?1, ?2, ?3, ?4)

-- name: delete_remnant
-- What was left of a deleted completion.
DELETE FROM remnant WHERE seq = ?1

-- name: put_body
-- The row stays, with this for a body, and its parent written out.
UPDATE record SET body = ?2, parent = ?3 WHERE seq = ?1

-- name: relink
-- What was encoded against a body that is gone gets the base of that.
UPDATE record SET base = ?2
WHERE base = ?1 AND NOT EXISTS (SELECT 1 FROM record WHERE seq = ?1)

-- name: beginning
-- Where the conversation begins that a place is part of.
WITH RECURSIVE path (seq, base) AS (
    SELECT seq, base FROM record WHERE seq = ?1
    UNION
    SELECT record.seq, record.base FROM path JOIN record ON record.seq = path.base
    UNION
    SELECT remnant.seq, remnant.base FROM path JOIN remnant ON remnant.seq = path.base
)
SELECT seq FROM path WHERE base IS NULL

-- name: select_shared
-- A text that several bodies refer to.
SELECT data FROM shared WHERE key = ?1

-- name: use_shared
-- One more body refers to a text.
UPDATE shared_use SET uses = uses + 1 WHERE key = ?1 RETURNING uses

-- name: insert_shared
-- A text that a body refers to for the first time.
INSERT INTO shared (key, data) VALUES (?1, ?2)

-- name: insert_shared_use
-- A text that a body refers to for the first time.
INSERT INTO shared_use (key, uses) VALUES (?1, 1)

-- name: release_shared
-- One body less refers to a text.
UPDATE shared_use SET uses = uses - 1 WHERE key = ?1 RETURNING uses

-- name: delete_shared
-- A text that no body refers to any more.
DELETE FROM shared WHERE key = ?1

-- name: delete_shared_use
-- A text that no body refers to any more.
DELETE FROM shared_use WHERE key = ?1
