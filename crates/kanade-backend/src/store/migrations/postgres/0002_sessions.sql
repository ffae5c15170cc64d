-- Who is signed in to the dashboard. Codes and tokens are here as SHA-256 only: whoever reads the
-- database cannot sign in with what is in it.

CREATE TABLE signin_links (
    code_hash  BYTEA PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT               -- NULL until a session came of it
);

CREATE TABLE sessions (
    token_hash   BYTEA PRIMARY KEY,
    account_id   TEXT COLLATE "C" NOT NULL,
    signed_in_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL    -- moves on while it is used, up to a limit from signed_in_at
);
