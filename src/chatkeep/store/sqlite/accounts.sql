-- name: insert_project
-- A tenant with the settings every project begins with.
INSERT INTO project (name, secret, created_unix, full_text) VALUES (?1, ?2, ?3, ?4)

-- name: set_secret
-- What keys the hashes of a tenant.
UPDATE project SET secret = ?2 WHERE id = ?1

-- name: select_project
-- A tenant by its name.
SELECT
    id, name, secret, created_unix, store_by_default, full_text, retain_days, retain_body_days,
    upstreams, max_concurrent, requests_per_minute, key_max_concurrent, key_requests_per_minute
FROM project WHERE name = ?1

-- name: select_project_of
-- A tenant by its number.
SELECT
    id, name, secret, created_unix, store_by_default, full_text, retain_days, retain_body_days,
    upstreams, max_concurrent, requests_per_minute, key_max_concurrent, key_requests_per_minute
FROM project WHERE id = ?1

-- name: select_projects
-- All tenants, in the order they were made.
SELECT
    id, name, secret, created_unix, store_by_default, full_text, retain_days, retain_body_days,
    upstreams, max_concurrent, requests_per_minute, key_max_concurrent, key_requests_per_minute
FROM project ORDER BY id

-- name: update_project
-- All settings of a tenant.
UPDATE project SET
    store_by_default = ?2, full_text = ?3, retain_days = ?4, retain_body_days = ?5, upstreams = ?6,
    max_concurrent = ?7, requests_per_minute = ?8, key_max_concurrent = ?9,
    key_requests_per_minute = ?10
WHERE id = ?1

-- name: insert_key
-- An API key without its secret.
INSERT INTO api_key (project, digest, name, hint, scopes, created_unix, expires_unix)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: select_key
-- The key with a digest.
SELECT
    id, project, hint, scopes, created_unix, revoked_unix, name, expires_unix, last_used_unix
FROM api_key WHERE digest = ?1

-- name: select_key_of
-- A key by its number, of one project or of any.
SELECT
    id, project, hint, scopes, created_unix, revoked_unix, name, expires_unix, last_used_unix
FROM api_key WHERE id = ?1 AND (?2 IS NULL OR project = ?2)

-- name: select_keys
-- All keys, in the order they were made.
SELECT
    id, project, hint, scopes, created_unix, revoked_unix, name, expires_unix, last_used_unix
FROM api_key ORDER BY id

-- name: update_key
-- What of a key can change, apart from its end.
UPDATE api_key SET name = ?2, expires_unix = ?3 WHERE id = ?1

-- name: revoke_key
-- Ends a key; it stays listed.
UPDATE api_key SET revoked_unix = ?2 WHERE id = ?1 AND revoked_unix IS NULL RETURNING id

-- name: note_key_used
-- When a key was last used, as far as one process knows.
UPDATE api_key SET last_used_unix = ?2 WHERE id = ?1 AND coalesce(last_used_unix, 0) < ?2

-- name: bump_keys_version
-- Tells serving processes that keys or projects changed.
UPDATE keys_version SET version = version + 1

-- name: keys_version
-- How often keys or projects changed.
SELECT version FROM keys_version
