-- Projects, keys, completions with their bodies, and the postings that filters read.
-- seq orders records by arrival. A record's row never changes, but for its body when that expires.

-- Below expired_below completions are kept without what was said in them; below pruned_below
-- prefix hashes may be gone, because nothing goes on from there any more.
CREATE TABLE project (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    secret BLOB NOT NULL,
    created_unix INTEGER NOT NULL,
    store_by_default INTEGER NOT NULL DEFAULT 0,
    full_text INTEGER NOT NULL DEFAULT 1,
    retain_days INTEGER,
    retain_body_days INTEGER,
    upstreams TEXT,
    max_concurrent INTEGER,
    requests_per_minute INTEGER,
    key_max_concurrent INTEGER,
    key_requests_per_minute INTEGER,
    expired_below INTEGER NOT NULL DEFAULT 0,
    pruned_below INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What an encrypted store is encrypted under, wrapped by the key it is opened with; empty in a
-- plain one. What is new goes under the one that writes; number 0 stands for being plain.
CREATE TABLE data_key (
    number INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL,
    writes INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    digest BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_unix INTEGER NOT NULL,
    expires_unix INTEGER,
    last_used_unix INTEGER,
    revoked_unix INTEGER
) STRICT;

-- One row: how often keys or projects changed, so that a serving process notices.
CREATE TABLE keys_version (version INTEGER NOT NULL) STRICT;
INSERT INTO keys_version VALUES (0);

-- What records have in common as a whole: each set of labels there is. form is a wire format.
-- Nobody's key is NULL.
CREATE TABLE label_set (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    form TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    finish_reason TEXT,
    upstream TEXT NOT NULL,
    api_key INTEGER
) STRICT;

CREATE UNIQUE INDEX label_set_by_values
ON label_set (project, form, model, status, finish_reason, upstream, api_key);

-- alias is the id of an import that is not of our form, as core.model.ids keeps it. What follows
-- from something else is not kept: a tag from the request id, half of a request id from the other
-- half, and that of an import from its id (core.model.ids). base is the record or remnant that the
-- body is encoded against; parent is the turn before, NULL when that is the base, 0 when there is
-- none. conversation is for items that name one. The body stands last, so that what comes before is
-- read without it.
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    label_set INTEGER NOT NULL,
    tag BLOB,
    request_id BLOB,
    alias BLOB,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    total_tokens INTEGER,
    duration_ms INTEGER NOT NULL,
    first_token_ms INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    cost_micro INTEGER,
    base INTEGER,
    parent INTEGER,
    conversation INTEGER,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX record_by_base ON record (base) WHERE base IS NOT NULL;

-- What stays of deleted completions because others still say it.
CREATE TABLE remnant (
    seq INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    base INTEGER,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX remnant_by_base ON remnant (base) WHERE base IS NOT NULL;

-- Metadata that was set after the completion was created, or whose body has expired. What it
-- was created with is in the body.
CREATE TABLE changed_metadata (
    seq INTEGER PRIMARY KEY,
    metadata TEXT NOT NULL
) STRICT;

-- Completions with all that their rows refer to.
CREATE VIEW stored AS
SELECT
    record.seq, record.project, label_set.id AS label_set, tag, request_id, alias, form, model,
    status, finish_reason, upstream, api_key, prompt_tokens, completion_tokens, total_tokens,
    duration_ms, first_token_ms, cached_tokens, reasoning_tokens, cost_micro,
    changed_metadata.metadata, base, parent, body
FROM record JOIN label_set ON label_set.id = record.label_set
LEFT JOIN changed_metadata ON changed_metadata.seq = record.seq;

-- By which a request finds the completion whose conversation it continues.
CREATE TABLE prefix_hash (
    project INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (project, hash, seq)
) STRICT, WITHOUT ROWID;

-- Texts that bodies refer to, and by how many rows they are.
CREATE TABLE shared (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE shared_use (
    key INTEGER PRIMARY KEY,
    uses INTEGER NOT NULL
) STRICT;

-- The records that have something in common (store.index.postings), in chunks of the lowest seq and
-- those behind it (store.sqlite.chunks).
CREATE TABLE posting (
    project INTEGER NOT NULL,
    term INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    more BLOB NOT NULL,
    PRIMARY KEY (project, term, seq)
) STRICT, WITHOUT ROWID;

-- Where imports stand whose ids are not of our form, by a keyed hash of these. A row outlives its
-- completion: it stays a place.
CREATE TABLE alias (
    project INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (project, hash)
) STRICT, WITHOUT ROWID;

-- So that a place is never given out twice: the highest seq deleted of each node, and the place of
-- every import deleted.
CREATE TABLE deleted_high (
    node INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

CREATE TABLE deleted_import (seq INTEGER PRIMARY KEY) STRICT;

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

-- Full text of what users and models said. The words come parted by spaces and fit for comparing,
-- each behind its project's number, so that no project reads another's entries. Only entries are
-- kept, no text: who deletes one gives the words again. secure-delete takes them out of the file.
CREATE VIRTUAL TABLE search USING fts5 (words, content = '', columnsize = 0, tokenize = 'ascii');
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
-- As many segments are merged at a time, so that an entry is written a third less often than by the
-- usual 4.
INSERT INTO search (search, rank) VALUES ('automerge', 8);

-- The rowids of search: short numbers in the order of seq. An entry holds the distance to the one
-- before it, and with those of seqs the index would take half as much again.
CREATE TABLE searched (
    doc INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

-- Up to which place completions are in search; those behind it wait.
CREATE TABLE search_reach (seq INTEGER NOT NULL) STRICT;
INSERT INTO search_reach VALUES (0);

-- Completions that found no number between their neighbours: in search they are by -seq.
CREATE TABLE crowded (seq INTEGER PRIMARY KEY) STRICT;

-- Sums of calls by the hour, whether they were kept or not; hours count from 1970. form is a wire
-- format, or the path of a call that is only forwarded. Nobody's key is -1. The columns after the
-- outcome stand in the order of usage.FIGURES.
CREATE TABLE usage_hour (
    project INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    form TEXT NOT NULL,
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
    PRIMARY KEY (project, hour, form, model, upstream, api_key, outcome)
) STRICT, WITHOUT ROWID;
