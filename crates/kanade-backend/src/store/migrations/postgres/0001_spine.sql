-- The same tables, columns and indexes as SQLite's step 0001; a test compares them. What differs:
-- INTEGER is BIGINT, or SMALLINT for a flag (0 or 1, so that statements are the same); BLOB is
-- BYTEA; text sorts by its bytes (COLLATE "C"), as SQLite's does; an index on a table with a number
-- of its own ends with that number, as SQLite's do without saying so. The lease is here alone.
-- Times are unix milliseconds, ids of 128 bits are 16 bytes, JSON is TEXT.
-- What people authored: groups, jobs, execs, commands, targets' existence, audit.
-- What was observed: pcs' facts, targets' states, results, positions, gaps, dead letters.

CREATE TABLE meta (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
-- keys: change_no (last change number), clock (unix ms of the last commit: the database's clock
-- never goes back), attempt_no (last attempt drawn), lease_generation,
-- store_id (random, made with the database), behind_since (set while the database is known to be
-- older than the broker), settled_at (when recovery from the broker was last finished).

CREATE TABLE pcs (
    pc_id           TEXT COLLATE "C" PRIMARY KEY,
    enrolled_at     BIGINT NOT NULL,
    online          SMALLINT NOT NULL DEFAULT 0,
    presence_since  BIGINT NOT NULL,
    heartbeat_at    BIGINT,
    state           TEXT COLLATE "C",
    agent_version   TEXT COLLATE "C",
    capabilities    TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    host_name       TEXT COLLATE "C",
    os_family       TEXT COLLATE "C",
    os              TEXT COLLATE "C",
    journal_id      BYTEA,
    journal_counter BIGINT NOT NULL DEFAULT 0,
    held_all_rev    BIGINT NOT NULL DEFAULT 0,
    held_pc_rev     BIGINT NOT NULL DEFAULT 0,
    clock_skew_ms   BIGINT,
    blocked         TEXT COLLATE "C",
    running         BIGINT NOT NULL DEFAULT 0,
    outbox_results  BIGINT NOT NULL DEFAULT 0,
    outbox_bytes    BIGINT NOT NULL DEFAULT 0,
    agent_rss_bytes BIGINT,
    booted_at       BIGINT,
    hardware        TEXT COLLATE "C",
    hardware_at     BIGINT,
    desired_rev     BIGINT NOT NULL DEFAULT 0,
    desired_hash    BYTEA
);
CREATE INDEX pcs_by_since ON pcs (presence_since, pc_id);
CREATE INDEX pcs_by_heartbeat ON pcs (COALESCE(heartbeat_at, 0), pc_id);
CREATE INDEX pcs_by_presence ON pcs (online, pc_id);
CREATE INDEX pcs_undesired ON pcs (pc_id) WHERE desired_rev = 0;

CREATE TABLE groups (
    group_id    TEXT COLLATE "C" PRIMARY KEY,
    description TEXT COLLATE "C",
    revision    BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE group_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES groups (group_id) ON DELETE CASCADE,
    pc_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (group_id, pc_id)
);
CREATE INDEX group_members_by_pc ON group_members (pc_id, group_id);

CREATE TABLE jobs (
    job_id      TEXT COLLATE "C" PRIMARY KEY,
    version     TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    definition  TEXT COLLATE "C" NOT NULL,
    yaml        TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    updated_by  TEXT COLLATE "C" NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- Rows of execs are small, since every batch of results rewrites them; what is large is in
-- exec_details. Exec ids sort by the time they were issued at, so lists go by id.
CREATE TABLE execs (
    exec_id          BYTEA PRIMARY KEY,
    job_id           TEXT COLLATE "C",
    job_version      TEXT COLLATE "C",
    title            TEXT COLLATE "C" NOT NULL,
    reach            TEXT COLLATE "C" NOT NULL,
    issued_by        TEXT COLLATE "C" NOT NULL,
    issued_at        BIGINT NOT NULL,
    deadline         BIGINT NOT NULL,
    reason           TEXT COLLATE "C",
    stop             TEXT COLLATE "C",
    stopped_at       BIGINT,
    joins_until      BIGINT,  -- of an open exec: until when PCs may join; NULL: nobody may
    ended_at         BIGINT,
    adopted          SMALLINT NOT NULL DEFAULT 0,
    n_targets        BIGINT NOT NULL DEFAULT 0,
    n_pending        BIGINT NOT NULL DEFAULT 0,
    n_admitted       BIGINT NOT NULL DEFAULT 0,
    n_running        BIGINT NOT NULL DEFAULT 0,
    n_ok             BIGINT NOT NULL DEFAULT 0,
    n_failed         BIGINT NOT NULL DEFAULT 0,
    n_timed_out      BIGINT NOT NULL DEFAULT 0,
    n_killed         BIGINT NOT NULL DEFAULT 0,
    n_skipped        BIGINT NOT NULL DEFAULT 0,
    n_interrupted    BIGINT NOT NULL DEFAULT 0,
    n_expired        BIGINT NOT NULL DEFAULT 0,
    n_withdrawn      BIGINT NOT NULL DEFAULT 0,
    n_revoked        BIGINT NOT NULL DEFAULT 0,
    n_superseded     BIGINT NOT NULL DEFAULT 0,
    n_lost           BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX execs_by_job ON execs (job_id, exec_id);
CREATE INDEX execs_running ON execs (exec_id) WHERE ended_at IS NULL;
CREATE INDEX execs_joinable ON execs (joins_until) WHERE joins_until IS NOT NULL;

CREATE TABLE exec_details (
    exec_id BYTEA PRIMARY KEY,
    targets TEXT COLLATE "C" NOT NULL,     -- JSON of the API's Targets: whom the operator named
    run     TEXT COLLATE "C" NOT NULL      -- JSON of the wire's Run; its script is inline where it is known
);

-- One row per attempt of an exec: what the publisher lists. `wide` ones are in `commands.all`,
-- the others in the documents of their targets' PCs.
CREATE TABLE commands (
    exec_id    BYTEA NOT NULL,
    attempt    BIGINT NOT NULL,
    wide       SMALLINT NOT NULL,
    reach      TEXT COLLATE "C" NOT NULL,
    issued_at  BIGINT NOT NULL,
    deadline   BIGINT NOT NULL,
    over_at    BIGINT NOT NULL,
    command    TEXT COLLATE "C",            -- JSON of the wire's Command; NULL when only its stop is known
    stop       TEXT COLLATE "C",            -- withdraw | kill
    body_sha256 TEXT COLLATE "C",
    listed_rev BIGINT NOT NULL DEFAULT 0, -- of a wide one: rev of the document that first listed it
    live       SMALLINT NOT NULL DEFAULT 1, -- 0 once over_at has passed
    PRIMARY KEY (exec_id, attempt)
);
CREATE INDEX commands_live ON commands (live, wide, over_at);

CREATE TABLE targets (
    exec_id     BYTEA NOT NULL,
    pc_id       TEXT COLLATE "C" NOT NULL,
    attempt     BIGINT NOT NULL,
    request_id  BYTEA NOT NULL,
    newest      SMALLINT NOT NULL DEFAULT 1,  -- 0 once a later attempt exists; counters count newest
    state       TEXT COLLATE "C" NOT NULL DEFAULT 'pending',
    outcome     TEXT COLLATE "C",
    provisional SMALLINT NOT NULL DEFAULT 0,
    reason_code TEXT COLLATE "C",
    reason_text TEXT COLLATE "C",
    exit_code   BIGINT,
    stopping    SMALLINT NOT NULL DEFAULT 0,
    listed_rev  BIGINT NOT NULL DEFAULT 0,  -- in its PC's own document: rev that first listed it; 0: none yet
    wide        SMALLINT NOT NULL,
    open        SMALLINT NOT NULL DEFAULT 1,  -- 1 until it has a final outcome
    admitted_at BIGINT,
    started_at  BIGINT,
    ended_at    BIGINT,
    PRIMARY KEY (exec_id, pc_id, attempt)
);
CREATE UNIQUE INDEX targets_by_request ON targets (request_id);
CREATE INDEX targets_open_by_pc ON targets (pc_id, wide) WHERE open = 1;

-- In the order they were stored: stored_at never falls as result_no grows, so lists go by it.
-- stdout and stderr hold the text when it has at most 400 characters, else its first 400
-- (whole text in `outputs`, or in the object store when *_object says where). *_hash is the
-- SHA-256 of the whole text when the row does not hold it and it is known.
CREATE TABLE results (
    result_no        BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    request_id       BYTEA NOT NULL UNIQUE,
    exec_id          BYTEA NOT NULL,
    attempt          BIGINT NOT NULL,
    pc_id            TEXT COLLATE "C" NOT NULL,
    job_id           TEXT COLLATE "C",
    outcome          TEXT COLLATE "C" NOT NULL,
    reason_code      TEXT COLLATE "C",
    reason_text      TEXT COLLATE "C",
    exit_code        BIGINT,
    tries            BIGINT NOT NULL,
    started_at       BIGINT,
    ended_at         BIGINT NOT NULL,
    stored_at        BIGINT NOT NULL,
    stream_seq       BIGINT NOT NULL,
    unverified       SMALLINT NOT NULL DEFAULT 0,
    stdout_total     BIGINT NOT NULL,
    stdout_truncated BIGINT NOT NULL,
    stdout_object    TEXT COLLATE "C",
    stdout_hash      BYTEA,
    stderr_total     BIGINT NOT NULL,
    stderr_truncated BIGINT NOT NULL,
    stderr_object    TEXT COLLATE "C",
    stderr_hash      BYTEA,
    stdout           TEXT COLLATE "C" NOT NULL,
    stderr           TEXT COLLATE "C" NOT NULL
);
CREATE INDEX results_by_exec ON results (exec_id, result_no);
CREATE INDEX results_by_pc ON results (pc_id, result_no);
CREATE INDEX results_by_job ON results (job_id, result_no) WHERE job_id IS NOT NULL;
CREATE INDEX results_by_job_and_outcome ON results (job_id, outcome, result_no) WHERE job_id IS NOT NULL;
CREATE INDEX results_by_outcome ON results (outcome, result_no);

CREATE TABLE outputs (
    request_id BYTEA NOT NULL,
    stream     TEXT COLLATE "C" NOT NULL,  -- stdout | stderr
    text       BYTEA NOT NULL,  -- UTF-8
    PRIMARY KEY (request_id, stream)
);

CREATE TABLE scopes (
    scope        TEXT COLLATE "C" PRIMARY KEY,  -- `all` or `pc.P`
    recorded_rev BIGINT NOT NULL DEFAULT 0,
    floor_rev    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE bodies (
    sha256     TEXT COLLATE "C" PRIMARY KEY,
    bytes      BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX bodies_by_expiry ON bodies (expires_at);

CREATE TABLE idempotency (
    key          TEXT COLLATE "C" PRIMARY KEY,
    request_hash BYTEA NOT NULL,
    exec_id      BYTEA NOT NULL,
    at           BIGINT NOT NULL
);

CREATE TABLE previews (
    token        TEXT COLLATE "C" PRIMARY KEY,
    request_hash BYTEA NOT NULL,
    pcs          TEXT COLLATE "C" NOT NULL,  -- JSON list of pc ids, sorted
    expires_at   BIGINT NOT NULL
);

CREATE TABLE positions (
    stream   TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL,   -- the message's time in the broker, unix nanoseconds
    hash     BYTEA NOT NULL       -- SHA-256 of its payload
);

CREATE TABLE gaps (
    gap_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    stream TEXT COLLATE "C" NOT NULL,
    first  BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    at     BIGINT NOT NULL
);

CREATE TABLE dead_letters (
    dead_letter_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    stream       TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    payload_head TEXT COLLATE "C" NOT NULL,
    size_bytes   BIGINT NOT NULL,
    at           BIGINT NOT NULL
);

CREATE TABLE audit (
    audit_id  BYTEA PRIMARY KEY,  -- UUIDv7
    at        BIGINT NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    action    TEXT COLLATE "C" NOT NULL,
    object    TEXT COLLATE "C" NOT NULL,
    detail    TEXT COLLATE "C" NOT NULL,
    published SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX audit_unpublished ON audit (audit_id) WHERE published = 0;

CREATE TABLE drops (
    kind TEXT COLLATE "C" NOT NULL,          -- definitions to delete from a bucket: `jobs`, `groups`
    key  TEXT COLLATE "C" NOT NULL,
    at   BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

-- Which backend may write: one row. A token never comes twice; expires_at is by this database's
-- clock.
CREATE TABLE lease (
    only_row   SMALLINT PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    holder     TEXT NOT NULL,      -- name of the backend's data folder
    place      TEXT NOT NULL,      -- machine and process, for people
    token      BIGINT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
INSERT INTO lease (holder, place, token, expires_at) VALUES ('', 'nobody', 0, '-infinity');
