-- name: select_label_set
-- The label set that has all these values.
SELECT id FROM label_set
WHERE project = ?1 AND model = ?2 AND status = ?3 AND finish_reason IS ?4 AND upstream = ?5
    AND api_key IS ?6

-- name: insert_label_set
-- A new label set of completions.
INSERT INTO label_set (project, model, status, finish_reason, upstream, api_key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id

-- name: select_label_sets
-- The label sets that have these values, NULL standing for any.
SELECT id FROM label_set
WHERE project = ?1
    AND (?2 IS NULL OR model = ?2) AND (?3 IS NULL OR status = ?3)
    AND (?4 IS NULL OR finish_reason = ?4) AND (?5 IS NULL OR upstream = ?5)
    AND (?6 IS NULL OR api_key = ?6)

-- name: label_set_of
-- What label set a completion is of.
SELECT label_set FROM record WHERE seq = ?1
