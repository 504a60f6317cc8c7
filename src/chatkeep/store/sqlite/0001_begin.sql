-- Projects, keys, completions with their bodies, and the postings that filters read.
-- seq orders completions by arrival; bodies stand apart so that lists and updates never touch them.

CREATE TABLE project (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    secret BLOB NOT NULL,
    store_by_default INTEGER NOT NULL DEFAULT 0,
    created_unix INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    digest BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_unix INTEGER NOT NULL,
    revoked_unix INTEGER
) STRICT;

-- One row: how often keys or projects changed, so that a serving process notices.
CREATE TABLE keys_version (version INTEGER NOT NULL) STRICT;
INSERT INTO keys_version VALUES (0);

CREATE TABLE completion (
    seq INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    tag BLOB NOT NULL,
    request_id BLOB NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    finish_reason TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    total_tokens INTEGER,
    duration_ms INTEGER NOT NULL,
    first_token_ms INTEGER,
    upstream TEXT NOT NULL,
    api_key INTEGER,
    preview TEXT NOT NULL,
    metadata TEXT NOT NULL,
    alias TEXT,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    cost_micro INTEGER
) STRICT;

-- Ends in the rowid, which is seq: the order of a project's completions.
CREATE INDEX completion_of_project ON completion (project);

CREATE TABLE body (
    seq INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE posting (
    project INTEGER NOT NULL,
    kid INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (project, kid, seq)
) STRICT, WITHOUT ROWID;

-- Ids that are not of our form, from imports. A row outlives its completion: it stays a place.
CREATE TABLE alias (
    project INTEGER NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    tag BLOB NOT NULL,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_by_place ON alias (seq);

-- The highest seq deleted of each node, so that a place is never given out twice.
CREATE TABLE deleted_high (
    node INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

-- Idempotency keys: who works on one, or which completion answered it.
CREATE TABLE claim (
    project INTEGER NOT NULL,
    key BLOB NOT NULL,
    request BLOB NOT NULL,
    owner BLOB NOT NULL,
    leased_until INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    seq INTEGER,
    tag BLOB,
    PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_by_expiry ON claim (expires);

-- The kinds of completions a project has, by the kid of their postings.
CREATE TABLE kind (
    project INTEGER NOT NULL,
    kid INTEGER NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    finish_reason TEXT,
    upstream TEXT NOT NULL,
    api_key INTEGER,
    PRIMARY KEY (project, kid)
) STRICT, WITHOUT ROWID;

-- Sums of calls by the hour, whether they were kept or not; hours count from 1970. Nobody's key is
-- -1. The columns after the outcome stand in the order of usage.FIGURES.
CREATE TABLE usage_hour (
    project INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    model TEXT NOT NULL,
    upstream TEXT NOT NULL,
    api_key INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost_micro INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    up_to_100 INTEGER NOT NULL,
    up_to_300 INTEGER NOT NULL,
    up_to_1000 INTEGER NOT NULL,
    up_to_3000 INTEGER NOT NULL,
    up_to_10000 INTEGER NOT NULL,
    up_to_30000 INTEGER NOT NULL,
    up_to_100000 INTEGER NOT NULL,
    longer INTEGER NOT NULL,
    PRIMARY KEY (project, hour, model, upstream, api_key, outcome)
) STRICT, WITHOUT ROWID;
