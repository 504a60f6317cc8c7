-- name: select_facts
-- What facets need of a completion.
SELECT model, status, finish_reason, upstream, api_key, metadata FROM completion
WHERE seq = ?1 AND project = ?2
