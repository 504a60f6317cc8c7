-- name: facts_at
-- What facets need of the completions at the places of a JSON array; the body has first metadata.
SELECT seq, model, status, finish_reason, upstream, api_key, metadata, body
FROM json_each(?1) AS place CROSS JOIN stored ON stored.seq = place.value
WHERE stored.project = ?2
