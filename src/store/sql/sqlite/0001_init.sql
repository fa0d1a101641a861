-- One row: the head of the revocation log, and what cut-offs need to know of all sessions.
CREATE TABLE head (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    seq                INTEGER NOT NULL,
    hash               BLOB    NOT NULL CHECK (length(hash) = 32),
    compacted          INTEGER NOT NULL,
    horizon            INTEGER NOT NULL,
    newest_lineage     INTEGER NOT NULL,
    everything_from    INTEGER NOT NULL,
    everything_version INTEGER NOT NULL
) STRICT;

INSERT INTO head VALUES (1, 0, zeroblob(32), 0, 0, 0, 0, 0);

-- Append-only, and read only in the order of seq: no other index, it would cost every logout.
CREATE TABLE revocation (
    seq        INTEGER PRIMARY KEY,
    scope      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    "from"     INTEGER NOT NULL,
    spared     TEXT,
    expires_at INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE user (
    id             TEXT    PRIMARY KEY,
    username       TEXT    NOT NULL UNIQUE,
    password_hash  TEXT    NOT NULL,
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at     INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    newest_lineage INTEGER NOT NULL,
    "from"         INTEGER NOT NULL,
    spared         TEXT
) STRICT;
