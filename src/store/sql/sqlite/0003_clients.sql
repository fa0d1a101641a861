-- Services with credentials of their own. `version` changes with every change, `newest` is the time of the
-- newest token that was handed out, and `"from"` the first that no cut-off ends: as with users.
CREATE TABLE client (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    scopes     TEXT    NOT NULL,
    audiences  TEXT    NOT NULL,
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    secret     BLOB    CHECK (length(secret) = 32),
    former     BLOB    CHECK (length(former) = 32),
    keys       TEXT,
    version    INTEGER NOT NULL,
    newest     INTEGER NOT NULL,
    "from"     INTEGER NOT NULL
) STRICT;

-- Assertions that were presented, each of which is good once.
CREATE TABLE assertion (
    digest     BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX assertion_expiry ON assertion (expires_at);
