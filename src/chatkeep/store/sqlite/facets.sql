-- name: select_facts
-- What facets need of a completion; the metadata it was created with is in its body.
SELECT
    model.text, status.text, finish_reason.text, upstream.text, api_key, changed_metadata.metadata,
    body
FROM completion
JOIN word AS model ON model.id = model
JOIN word AS status ON status.id = status
JOIN word AS upstream ON upstream.id = upstream
LEFT JOIN word AS finish_reason ON finish_reason.id = finish_reason
LEFT JOIN changed_metadata ON changed_metadata.seq = completion.seq
WHERE completion.seq = ?1 AND project = ?2
