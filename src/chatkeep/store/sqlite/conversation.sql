-- name: conversation_asc
-- The places of all that goes on from one completion, the oldest first.
WITH RECURSIVE said (seq) AS (
    VALUES (?1)
    UNION
    SELECT record.seq FROM said JOIN record ON base = said.seq
    UNION
    SELECT remnant.seq FROM said JOIN remnant ON base = said.seq
)
SELECT seq FROM said JOIN record USING (seq)
WHERE project = ?2 AND seq > ?3
ORDER BY seq LIMIT ?4

-- name: conversation_desc
-- The same, the newest first.
WITH RECURSIVE said (seq) AS (
    VALUES (?1)
    UNION
    SELECT record.seq FROM said JOIN record ON base = said.seq
    UNION
    SELECT remnant.seq FROM said JOIN remnant ON base = said.seq
)
SELECT seq FROM said JOIN record USING (seq)
WHERE project = ?2 AND seq < ?3
ORDER BY seq DESC LIMIT ?4
