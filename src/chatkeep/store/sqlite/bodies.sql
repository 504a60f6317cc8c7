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
-- What is left of a completion that has no body any more, else its body, with what it builds on.
SELECT base, body FROM remnant WHERE seq = ?1
UNION ALL
SELECT base, body FROM completion WHERE seq = ?1

-- name: select_remnant
-- What is left of a deleted completion.
SELECT base, body FROM remnant WHERE seq = ?1

-- name: built_on
-- The bodies that build on one.
SELECT seq, body FROM completion WHERE base = ?1
UNION ALL
SELECT seq, body FROM remnant WHERE base = ?1

-- name: put_remnant
-- What is left of a deleted completion.
INSERT OR REPLACE INTO remnant (seq, project, base, body) VALUES (?1, ?2, ?3, ?4)

-- name: delete_remnant
-- What was left of a deleted completion.
DELETE FROM remnant WHERE seq = ?1

-- name: expire_body
-- The row stays, with this for a body.
UPDATE completion SET body = ?2 WHERE seq = ?1

-- name: unlink
-- What went on from a place that holds nothing any more goes on from where that did.
UPDATE completion SET base = ?2
WHERE base = ?1 AND NOT EXISTS (SELECT 1 FROM completion WHERE seq = ?1)

-- name: beginning
-- Where the conversation begins that a place is part of.
WITH RECURSIVE path (seq, base) AS (
    SELECT seq, base FROM completion WHERE seq = ?1
    UNION
    SELECT completion.seq, completion.base FROM path JOIN completion ON completion.seq = path.base
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
