-- Who is signed in to the dashboard. Codes and tokens are here as SHA-256 only: whoever reads the
-- database cannot sign in with what is in it.

CREATE TABLE signin_links (
    code_hash  BLOB PRIMARY KEY,
    account_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER               -- NULL until a session came of it
) WITHOUT ROWID;

CREATE TABLE sessions (
    token_hash   BLOB PRIMARY KEY,
    account_id   TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL    -- moves on while it is used, up to a limit from signed_in_at
) WITHOUT ROWID;
