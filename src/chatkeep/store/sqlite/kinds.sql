-- name: insert_kind
-- A kind of completions, once.
INSERT OR IGNORE INTO kind (project, kid, model, status, finish_reason, upstream, api_key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: select_kinds
-- The kids of the kinds that have these values, NULL standing for any; no more than are of use.
SELECT kid FROM kind
WHERE project = ?1
    AND (?2 IS NULL OR model = ?2) AND (?3 IS NULL OR status = ?3)
    AND (?4 IS NULL OR finish_reason = ?4) AND (?5 IS NULL OR upstream = ?5)
    AND (?6 IS NULL OR api_key = ?6)
LIMIT ?7

-- name: of_kinds_desc
-- A project's places that have these values, newest first, each row looked at.
SELECT seq FROM completion
WHERE project = ?1
    AND (?2 IS NULL OR model = (SELECT id FROM word WHERE text = ?2))
    AND (?3 IS NULL OR status = (SELECT id FROM word WHERE text = ?3))
    AND (?4 IS NULL OR finish_reason = (SELECT id FROM word WHERE text = ?4))
    AND (?5 IS NULL OR upstream = (SELECT id FROM word WHERE text = ?5))
    AND (?6 IS NULL OR api_key = ?6) AND seq BETWEEN ?7 AND ?8
ORDER BY seq DESC

-- name: of_kinds_asc
-- The same, oldest first.
SELECT seq FROM completion
WHERE project = ?1
    AND (?2 IS NULL OR model = (SELECT id FROM word WHERE text = ?2))
    AND (?3 IS NULL OR status = (SELECT id FROM word WHERE text = ?3))
    AND (?4 IS NULL OR finish_reason = (SELECT id FROM word WHERE text = ?4))
    AND (?5 IS NULL OR upstream = (SELECT id FROM word WHERE text = ?5))
    AND (?6 IS NULL OR api_key = ?6) AND seq BETWEEN ?7 AND ?8
ORDER BY seq
