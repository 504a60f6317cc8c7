-- name: select_facts
-- What facets need of a completion; the metadata it was created with is in its body.
SELECT
    model, status, finish_reason, upstream, api_key, changed_metadata.metadata, body
FROM completion JOIN kind ON kind.id = kind
LEFT JOIN changed_metadata ON changed_metadata.seq = completion.seq
WHERE completion.seq = ?1 AND completion.project = ?2
