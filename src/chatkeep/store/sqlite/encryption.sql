-- name: data_keys
-- All data keys, wrapped.
SELECT number, wrapped, writes FROM data_key ORDER BY number

-- name: put_data_key
-- A data key, new or as it is now.
INSERT OR REPLACE INTO data_key (number, wrapped, writes) VALUES (?1, ?2, ?3)

-- name: delete_data_keys
-- All data keys.
DELETE FROM data_key

-- name: is_new
-- Whether nobody has put anything into the store yet.
SELECT NOT EXISTS (SELECT 1 FROM project)

-- name: search_off
-- No project is searched any more.
UPDATE project SET full_text = 0

-- name: empty_search
-- The full text index without its entries.
INSERT INTO search (search) VALUES ('delete-all')

-- name: empty_crowded
-- Which completions had no number.
DELETE FROM crowded

-- name: empty_searched
-- The numbers of the index.
DELETE FROM searched

-- name: count_others
-- How many contents are not under a data key; of a plain one the number is empty.
SELECT
    (SELECT count(*) FROM record
        WHERE iif(substr(body, 1, 1) = x'0F', substr(body, 14, 2), x'') <> ?1)
    + (SELECT count(*) FROM remnant
        WHERE iif(substr(body, 1, 1) = x'0F', substr(body, 14, 2), x'') <> ?1)
    + (SELECT count(*) FROM shared
        WHERE iif(substr(data, 1, 1) = x'0F', substr(data, 14, 2), x'') <> ?1)

-- name: some_of_record
-- The next places of completions that are not.
SELECT seq FROM record
WHERE seq > ?2 AND iif(substr(body, 1, 1) = x'0F', substr(body, 14, 2), x'') <> ?1
ORDER BY seq LIMIT 64

-- name: one_of_record
-- A completion's project and body.
SELECT project, body FROM record WHERE seq = ?1

-- name: reseal_record
-- The same body in another form.
UPDATE record SET body = ?2 WHERE seq = ?1

-- name: some_of_remnant
-- The next places of what is left of deleted completions.
SELECT seq FROM remnant
WHERE seq > ?2 AND iif(substr(body, 1, 1) = x'0F', substr(body, 14, 2), x'') <> ?1
ORDER BY seq LIMIT 64

-- name: one_of_remnant
-- What is left of a deleted completion, and its project.
SELECT project, body FROM remnant WHERE seq = ?1

-- name: reseal_remnant
-- The same in another form.
UPDATE remnant SET body = ?2 WHERE seq = ?1

-- name: some_of_shared
-- The next keys of shared texts.
SELECT key FROM shared
WHERE key > ?2 AND iif(substr(data, 1, 1) = x'0F', substr(data, 14, 2), x'') <> ?1
ORDER BY key LIMIT 64

-- name: one_of_shared
-- A shared text, which belongs to no project by number.
SELECT 0, data FROM shared WHERE key = ?1

-- name: reseal_shared
-- The same in another form.
UPDATE shared SET data = ?2 WHERE key = ?1
