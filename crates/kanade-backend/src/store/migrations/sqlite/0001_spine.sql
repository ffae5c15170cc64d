-- Times are unix milliseconds (INTEGER), ids of 128 bits are 16 bytes (BLOB), JSON is TEXT.
-- What people authored: groups, jobs, execs, commands, targets' existence, audit.
-- What was observed: pcs' facts, targets' states, results, positions, gaps, dead letters.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
-- keys: change_no (last change number), clock (unix ms of the last commit: the database's clock
-- never goes back), attempt_no (last attempt drawn), lease_generation,
-- store_id (random, made with the database), behind_since (set while the database is known to be
-- older than the broker), settled_at (when recovery from the broker was last finished).

CREATE TABLE pcs (
    pc_id           TEXT PRIMARY KEY,
    enrolled_at     INTEGER NOT NULL,
    online          INTEGER NOT NULL DEFAULT 0,
    presence_since  INTEGER NOT NULL,
    heartbeat_at    INTEGER,
    state           TEXT,
    agent_version   TEXT,
    capabilities    TEXT NOT NULL DEFAULT '[]',
    host_name       TEXT,
    os_family       TEXT,
    os              TEXT,
    journal_id      BLOB,
    journal_counter INTEGER NOT NULL DEFAULT 0,
    held_all_rev    INTEGER NOT NULL DEFAULT 0,
    held_pc_rev     INTEGER NOT NULL DEFAULT 0,
    clock_skew_ms   INTEGER,
    blocked         TEXT,
    running         INTEGER NOT NULL DEFAULT 0,
    outbox_results  INTEGER NOT NULL DEFAULT 0,
    outbox_bytes    INTEGER NOT NULL DEFAULT 0,
    agent_rss_bytes INTEGER,
    booted_at       INTEGER,
    hardware        TEXT,
    hardware_at     INTEGER,
    desired_rev     INTEGER NOT NULL DEFAULT 0,
    desired_hash    BLOB
);
CREATE INDEX pcs_by_since ON pcs (presence_since, pc_id);
CREATE INDEX pcs_by_heartbeat ON pcs (COALESCE(heartbeat_at, 0), pc_id);
CREATE INDEX pcs_by_presence ON pcs (online, pc_id);
CREATE INDEX pcs_undesired ON pcs (pc_id) WHERE desired_rev = 0;

CREATE TABLE groups (
    group_id    TEXT PRIMARY KEY,
    description TEXT,
    revision    INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups (group_id) ON DELETE CASCADE,
    pc_id    TEXT NOT NULL,
    PRIMARY KEY (group_id, pc_id)
) WITHOUT ROWID;
CREATE INDEX group_members_by_pc ON group_members (pc_id, group_id);

CREATE TABLE jobs (
    job_id      TEXT PRIMARY KEY,
    version     TEXT NOT NULL,
    description TEXT,
    definition  TEXT NOT NULL,
    yaml        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    updated_by  TEXT NOT NULL,
    updated_at  INTEGER NOT NULL
);

-- Rows of execs are small, since every batch of results rewrites them; what is large is in
-- exec_details. Exec ids sort by the time they were issued at, so lists go by id.
CREATE TABLE execs (
    exec_id          BLOB PRIMARY KEY,
    job_id           TEXT,
    job_version      TEXT,
    title            TEXT NOT NULL,
    reach            TEXT NOT NULL,
    issued_by        TEXT NOT NULL,
    issued_at        INTEGER NOT NULL,
    deadline         INTEGER NOT NULL,
    reason           TEXT,
    stop             TEXT,
    stopped_at       INTEGER,
    joins_until      INTEGER,  -- of an open exec: until when PCs may join; NULL: nobody may
    ended_at         INTEGER,
    adopted          INTEGER NOT NULL DEFAULT 0,
    n_targets        INTEGER NOT NULL DEFAULT 0,
    n_pending        INTEGER NOT NULL DEFAULT 0,
    n_admitted       INTEGER NOT NULL DEFAULT 0,
    n_running        INTEGER NOT NULL DEFAULT 0,
    n_ok             INTEGER NOT NULL DEFAULT 0,
    n_failed         INTEGER NOT NULL DEFAULT 0,
    n_timed_out      INTEGER NOT NULL DEFAULT 0,
    n_killed         INTEGER NOT NULL DEFAULT 0,
    n_skipped        INTEGER NOT NULL DEFAULT 0,
    n_interrupted    INTEGER NOT NULL DEFAULT 0,
    n_expired        INTEGER NOT NULL DEFAULT 0,
    n_withdrawn      INTEGER NOT NULL DEFAULT 0,
    n_revoked        INTEGER NOT NULL DEFAULT 0,
    n_superseded     INTEGER NOT NULL DEFAULT 0,
    n_lost           INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX execs_by_job ON execs (job_id, exec_id);
CREATE INDEX execs_running ON execs (exec_id) WHERE ended_at IS NULL;
CREATE INDEX execs_joinable ON execs (joins_until) WHERE joins_until IS NOT NULL;

CREATE TABLE exec_details (
    exec_id BLOB PRIMARY KEY,
    targets TEXT NOT NULL,     -- JSON of the API's Targets: whom the operator named
    run     TEXT NOT NULL      -- JSON of the wire's Run; its script is inline where it is known
);

-- One row per attempt of an exec: what the publisher lists. `wide` ones are in `commands.all`,
-- the others in the documents of their targets' PCs.
CREATE TABLE commands (
    exec_id    BLOB NOT NULL,
    attempt    INTEGER NOT NULL,
    wide       INTEGER NOT NULL,
    reach      TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    over_at    INTEGER NOT NULL,
    command    TEXT,            -- JSON of the wire's Command; NULL when only its stop is known
    stop       TEXT,            -- withdraw | kill
    body_sha256 TEXT,
    listed_rev INTEGER NOT NULL DEFAULT 0, -- of a wide one: rev of the document that first listed it
    live       INTEGER NOT NULL DEFAULT 1, -- 0 once over_at has passed
    PRIMARY KEY (exec_id, attempt)
);
CREATE INDEX commands_live ON commands (live, wide, over_at);

CREATE TABLE targets (
    exec_id     BLOB NOT NULL,
    pc_id       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    request_id  BLOB NOT NULL,
    newest      INTEGER NOT NULL DEFAULT 1,  -- 0 once a later attempt exists; counters count newest
    state       TEXT NOT NULL DEFAULT 'pending',
    outcome     TEXT,
    provisional INTEGER NOT NULL DEFAULT 0,
    reason_code TEXT,
    reason_text TEXT,
    exit_code   INTEGER,
    stopping    INTEGER NOT NULL DEFAULT 0,
    listed_rev  INTEGER NOT NULL DEFAULT 0,  -- in its PC's own document: rev that first listed it; 0: none yet
    wide        INTEGER NOT NULL,
    open        INTEGER NOT NULL DEFAULT 1,  -- 1 until it has a final outcome
    admitted_at INTEGER,
    started_at  INTEGER,
    ended_at    INTEGER,
    PRIMARY KEY (exec_id, pc_id, attempt)
) WITHOUT ROWID;
CREATE UNIQUE INDEX targets_by_request ON targets (request_id);
CREATE INDEX targets_open_by_pc ON targets (pc_id, wide) WHERE open = 1;

-- In the order they were stored: stored_at never falls as result_no grows, so lists go by it.
-- stdout and stderr hold the text when it has at most 400 characters, else its first 400
-- (whole text in `outputs`, or in the object store when *_object says where). *_hash is the
-- SHA-256 of the whole text when the row does not hold it and it is known.
CREATE TABLE results (
    result_no        INTEGER PRIMARY KEY,
    request_id       BLOB NOT NULL UNIQUE,
    exec_id          BLOB NOT NULL,
    attempt          INTEGER NOT NULL,
    pc_id            TEXT NOT NULL,
    job_id           TEXT,
    outcome          TEXT NOT NULL,
    reason_code      TEXT,
    reason_text      TEXT,
    exit_code        INTEGER,
    tries            INTEGER NOT NULL,
    started_at       INTEGER,
    ended_at         INTEGER NOT NULL,
    stored_at        INTEGER NOT NULL,
    stream_seq       INTEGER NOT NULL,
    unverified       INTEGER NOT NULL DEFAULT 0,
    stdout_total     INTEGER NOT NULL,
    stdout_truncated INTEGER NOT NULL,
    stdout_object    TEXT,
    stdout_hash      BLOB,
    stderr_total     INTEGER NOT NULL,
    stderr_truncated INTEGER NOT NULL,
    stderr_object    TEXT,
    stderr_hash      BLOB,
    stdout           TEXT NOT NULL,
    stderr           TEXT NOT NULL
);
CREATE INDEX results_by_exec ON results (exec_id);
CREATE INDEX results_by_pc ON results (pc_id);
CREATE INDEX results_by_job ON results (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX results_by_job_and_outcome ON results (job_id, outcome) WHERE job_id IS NOT NULL;
CREATE INDEX results_by_outcome ON results (outcome);

CREATE TABLE outputs (
    request_id BLOB NOT NULL,
    stream     TEXT NOT NULL,  -- stdout | stderr
    text       BLOB NOT NULL,  -- UTF-8
    PRIMARY KEY (request_id, stream)
);

CREATE TABLE scopes (
    scope        TEXT PRIMARY KEY,  -- `all` or `pc.P`
    recorded_rev INTEGER NOT NULL DEFAULT 0,
    floor_rev    INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE bodies (
    sha256     TEXT PRIMARY KEY,
    bytes      BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX bodies_by_expiry ON bodies (expires_at);

CREATE TABLE idempotency (
    key          TEXT PRIMARY KEY,
    request_hash BLOB NOT NULL,
    exec_id      BLOB NOT NULL,
    at           INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE previews (
    token        TEXT PRIMARY KEY,
    request_hash BLOB NOT NULL,
    pcs          TEXT NOT NULL,  -- JSON list of pc ids, sorted
    expires_at   INTEGER NOT NULL
);

CREATE TABLE positions (
    stream   TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL,   -- the message's time in the broker, unix nanoseconds
    hash     BLOB NOT NULL       -- SHA-256 of its payload
) WITHOUT ROWID;

CREATE TABLE gaps (
    gap_id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    at     INTEGER NOT NULL
);

CREATE TABLE dead_letters (
    dead_letter_id INTEGER PRIMARY KEY,
    stream       TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    subject      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    payload_head TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    at           INTEGER NOT NULL
);

CREATE TABLE audit (
    audit_id  BLOB PRIMARY KEY,  -- UUIDv7
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    detail    TEXT NOT NULL,
    published INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX audit_unpublished ON audit (audit_id) WHERE published = 0;

CREATE TABLE drops (
    kind TEXT NOT NULL,          -- definitions to delete from a bucket: `jobs`, `groups`
    key  TEXT NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
