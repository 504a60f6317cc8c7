-- name: insert_record
-- A completion's row; not where something deleted is still built on.
INSERT INTO record (
    seq, project, label_set, tag, request_id, alias, prompt_tokens, completion_tokens, total_tokens,
    duration_ms, first_token_ms, cached_tokens, reasoning_tokens, cost_micro, base, parent,
    body
) VALUES (
    ?1, iif(EXISTS (SELECT 1 FROM remnant WHERE seq = ?1), NULL, ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9,
    ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17
)

-- name: select_stored
-- A completion with its body, by its place.
SELECT * FROM stored WHERE seq = ?1 AND project = ?2

-- name: stored_at
-- The completions at the places of a JSON array, in its order.
SELECT stored.* FROM json_each(?1) AS place CROSS JOIN stored ON stored.seq = place.value
WHERE stored.project = ?2

-- name: change_metadata
-- The only part of a completion that changes.
INSERT OR REPLACE INTO changed_metadata (seq, metadata) VALUES (?1, ?2)

-- name: delete_record
-- The row.
DELETE FROM record WHERE seq = ?1

-- name: delete_changed_metadata
-- What was set after the completion was created.
DELETE FROM changed_metadata WHERE seq = ?1

-- name: mark_deleted
-- Remembers the highest deleted seq of a node.
INSERT INTO deleted_high (node, seq) VALUES (?1, ?2)
ON CONFLICT (node) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq

-- name: mark_deleted_import
-- Remembers where an import stood.
INSERT OR IGNORE INTO deleted_import (seq) VALUES (?1)

-- name: deleted_high
-- The highest deleted seq of a node.
SELECT seq FROM deleted_high WHERE node = ?1

-- name: highest_up_to
-- The highest seq of all nodes up to a bound.
SELECT max(seq) FROM record WHERE seq <= ?1

-- name: highest_between
-- The highest seq in a range that is in use, or was by an import.
SELECT max(seq) FROM (
    SELECT max(seq) AS seq FROM record WHERE seq BETWEEN ?1 AND ?2
    UNION ALL
    SELECT max(seq) FROM deleted_import WHERE seq BETWEEN ?1 AND ?2
)

-- name: seq_taken
-- Who has a place, or had it and is still built on.
SELECT 1 FROM record WHERE seq = ?1
UNION ALL
SELECT 1 FROM remnant WHERE seq = ?1

-- name: upsert_alias
-- Where an imported completion stands; one that was deleted gets a new place.
INSERT OR REPLACE INTO alias (project, hash, seq) VALUES (?1, ?2, ?3)

-- name: select_alias
-- Where the completion imported under an id stands or stood.
SELECT seq FROM alias WHERE project = ?1 AND hash = ?2

-- name: delete_alias
-- Of an import that has its own place now.
DELETE FROM alias WHERE project = ?1 AND hash = ?2

-- name: sweep_claims
-- A few idempotency keys whose day is over.
DELETE FROM claim WHERE (project, key) IN (
    SELECT project, key FROM claim WHERE expires <= ?1 LIMIT 16
)

-- name: select_claim
-- An idempotency key, with the record that answered it while that is there.
SELECT claim.request, owner, leased_until, expires, claim.seq, claim.tag,
    record.seq, record.tag, record.request_id, record.alias, form
FROM claim LEFT JOIN record ON record.seq = claim.seq AND record.project = ?1
LEFT JOIN label_set ON label_set.id = record.label_set
WHERE claim.project = ?1 AND key = ?2

-- name: upsert_claim
-- Takes an idempotency key.
INSERT OR REPLACE INTO claim (project, key, request, owner, leased_until, expires)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: renew_claim
-- The owner still works on it.
UPDATE claim SET leased_until = ?4 WHERE project = ?1 AND key = ?2 AND owner = ?3

-- name: answer_claim
-- The completion that answers an idempotency key from now on.
UPDATE claim SET seq = ?4, tag = ?5 WHERE project = ?1 AND key = ?2 AND owner = ?3

-- name: release_claim
-- Gives back an idempotency key that was not answered.
DELETE FROM claim WHERE project = ?1 AND key = ?2 AND owner = ?3 AND seq IS NULL
