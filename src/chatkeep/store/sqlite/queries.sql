-- name: insert_words
-- Makes sure of the words of a row.
INSERT OR IGNORE INTO word (text) VALUES (?1), (?2), (?3), (?4)

-- name: insert_completion
-- A completion's row; not where something deleted is still built on.
INSERT INTO completion (
    seq, project, tag, request_id, model, status, finish_reason, prompt_tokens, completion_tokens,
    total_tokens, duration_ms, first_token_ms, upstream, api_key, alias, cached_tokens,
    reasoning_tokens, cost_micro, basis, body
) VALUES (
    ?1, iif(EXISTS (SELECT 1 FROM ghost WHERE seq = ?1), NULL, ?2), ?3, ?4, (SELECT id FROM word WHERE text = ?5), (SELECT id FROM word WHERE text = ?6),
    (SELECT id FROM word WHERE text = ?7), ?8, ?9, ?10, ?11, ?12,
    (SELECT id FROM word WHERE text = ?13), ?14, ?15, ?16, ?17, ?18, ?19, ?20
)

-- name: insert_posting
-- One index entry.
INSERT INTO posting (project, kid, seq) VALUES (?1, ?2, ?3)

-- name: delete_posting
-- One index entry.
DELETE FROM posting WHERE project = ?1 AND kid = ?2 AND seq = ?3

-- name: select_stored
-- A completion with its body, by its place.
SELECT
    completion.seq, tag, request_id, model.text, status.text, finish_reason.text, prompt_tokens,
    completion_tokens, total_tokens, duration_ms, first_token_ms, upstream.text, api_key, alias,
    cached_tokens, reasoning_tokens, cost_micro, changed_metadata.metadata, basis, body
FROM completion
JOIN word AS model ON model.id = model
JOIN word AS status ON status.id = status
JOIN word AS upstream ON upstream.id = upstream
LEFT JOIN word AS finish_reason ON finish_reason.id = finish_reason
LEFT JOIN changed_metadata ON changed_metadata.seq = completion.seq
WHERE completion.seq = ?1 AND project = ?2

-- name: change_metadata
-- The only part of a completion that changes.
INSERT INTO changed_metadata (seq, metadata) VALUES (?1, ?2)
ON CONFLICT (seq) DO UPDATE SET metadata = excluded.metadata

-- name: delete_completion
-- The row.
DELETE FROM completion WHERE seq = ?1

-- name: delete_changed_metadata
-- What was set after the completion was created.
DELETE FROM changed_metadata WHERE seq = ?1

-- name: mark_deleted
-- Remembers the highest deleted seq of a node.
INSERT INTO deleted_high (node, seq) VALUES (?1, ?2)
ON CONFLICT (node) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq

-- name: deleted_high
-- The highest deleted seq of a node.
SELECT seq FROM deleted_high WHERE node = ?1

-- name: highest_up_to
-- The highest seq of all nodes up to a bound.
SELECT max(seq) FROM completion WHERE seq <= ?1

-- name: highest_between
-- The highest seq in a range that is in use, or was by an import.
SELECT max(seq) FROM (
    SELECT max(seq) AS seq FROM completion WHERE seq BETWEEN ?1 AND ?2
    UNION ALL
    SELECT max(seq) FROM alias WHERE seq BETWEEN ?1 AND ?2
)

-- name: seq_taken
-- Who has a place, or had it and is still built on.
SELECT project, request_id, tag FROM completion WHERE seq = ?1
UNION ALL
SELECT project, NULL, NULL FROM ghost WHERE seq = ?1

-- name: project_desc
-- A project's places, newest first.
SELECT seq FROM completion WHERE project = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC

-- name: project_asc
-- A project's places, oldest first.
SELECT seq FROM completion WHERE project = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq

-- name: posting_desc
-- The places of one posting, newest first.
SELECT seq FROM posting WHERE project = ?1 AND kid = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq DESC

-- name: posting_asc
-- The places of one posting, oldest first.
SELECT seq FROM posting WHERE project = ?1 AND kid = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq

-- name: upsert_alias
-- The id an imported completion came with; one that was deleted gets a new place.
INSERT OR REPLACE INTO alias (project, id, seq, tag) VALUES (?1, ?2, ?3, ?4)

-- name: select_alias
-- Where the completion imported under an id stands or stood.
SELECT seq, tag FROM alias WHERE project = ?1 AND id = ?2

-- name: sweep_claims
-- A few idempotency keys whose day is over.
DELETE FROM claim WHERE (project, key) IN (
    SELECT project, key FROM claim WHERE expires <= ?1 LIMIT 16
)

-- name: select_claim
-- An idempotency key, with its completion while that is there.
SELECT claim.request, owner, leased_until, expires, claim.seq, claim.tag,
    completion.tag, completion.request_id
FROM claim LEFT JOIN completion ON completion.seq = claim.seq AND completion.project = ?1
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
