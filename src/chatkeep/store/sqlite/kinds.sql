-- name: select_kind
-- The kind that has all these values.
SELECT id FROM kind
WHERE project = ?1 AND model = ?2 AND status = ?3 AND finish_reason IS ?4 AND upstream = ?5
    AND api_key IS ?6

-- name: insert_kind
-- A new kind of completions.
INSERT INTO kind (project, model, status, finish_reason, upstream, api_key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id

-- name: select_kinds
-- The kinds that have these values, NULL standing for any.
SELECT id FROM kind
WHERE project = ?1
    AND (?2 IS NULL OR model = ?2) AND (?3 IS NULL OR status = ?3)
    AND (?4 IS NULL OR finish_reason = ?4) AND (?5 IS NULL OR upstream = ?5)
    AND (?6 IS NULL OR api_key = ?6)

-- name: kind_of
-- What kind a completion is of.
SELECT kind FROM completion WHERE seq = ?1
