-- name: select_label_set
-- The label set that has all these values.
SELECT id FROM label_set
WHERE project = ?1 AND form = ?2 AND model = ?3 AND status = ?4 AND finish_reason IS ?5
    AND upstream = ?6 AND api_key IS ?7

-- name: insert_label_set
-- A new label set.
INSERT INTO label_set (project, form, model, status, finish_reason, upstream, api_key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id

-- name: select_label_sets
-- The label sets that have these values, NULL standing for any.
SELECT id FROM label_set
WHERE project = ?1
    AND (?2 IS NULL OR form = ?2) AND (?3 IS NULL OR model = ?3) AND (?4 IS NULL OR status = ?4)
    AND (?5 IS NULL OR finish_reason = ?5) AND (?6 IS NULL OR upstream = ?6)
    AND (?7 IS NULL OR api_key = ?7)

-- name: label_set_of
-- What label set a completion is of.
SELECT label_set FROM record WHERE seq = ?1
