-- One row: the head of the revocation log, and what cut-offs need to know of all sessions. Whoever writes
-- anything locks it first, so that the order of commits is the order of seq.
CREATE TABLE head (
    id                 BIGINT PRIMARY KEY CHECK (id = 1),
    seq                BIGINT NOT NULL,
    hash               BYTEA  NOT NULL CHECK (length(hash) = 32),
    compacted          BIGINT NOT NULL,
    horizon            BIGINT NOT NULL,
    newest_lineage     BIGINT NOT NULL,
    everything_from    BIGINT NOT NULL,
    everything_version BIGINT NOT NULL,
    leeway             BIGINT NOT NULL DEFAULT 5000
);

INSERT INTO head VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, 0, 0, 0, 0);

-- Append-only, and read only in the order of seq: no other index, it would cost every logout.
CREATE TABLE revocation (
    seq         BIGINT PRIMARY KEY,
    scope       TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    "from"      BIGINT NOT NULL,
    spared      TEXT,
    expires_at  BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    hash        BYTEA  NOT NULL CHECK (length(hash) = 32),
    grace_until BIGINT
);

CREATE TABLE "user" (
    id             TEXT    PRIMARY KEY,
    username       TEXT    NOT NULL UNIQUE,
    password_hash  TEXT    NOT NULL,
    enabled        BOOLEAN NOT NULL,
    created_at     BIGINT  NOT NULL,
    version        BIGINT  NOT NULL,
    newest_lineage BIGINT  NOT NULL,
    "from"         BIGINT  NOT NULL,
    spared         TEXT
);

-- The inventory, and the one row a session that renewals compete for.
CREATE TABLE session (
    lineage        TEXT   PRIMARY KEY,
    "user"         TEXT   NOT NULL,
    auth_time      BIGINT NOT NULL,
    session_expiry BIGINT NOT NULL,
    generation     BIGINT NOT NULL,
    renew_at       BIGINT NOT NULL,
    grace_until    BIGINT NOT NULL,
    idle_end       BIGINT NOT NULL,
    address        TEXT,
    browser        TEXT
);

CREATE INDEX session_by_user ON session ("user", auth_time);
CREATE INDEX session_by_expiry ON session (session_expiry);

CREATE TABLE client (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    scopes     TEXT    NOT NULL,
    audiences  TEXT    NOT NULL,
    enabled    BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    secret     BYTEA   CHECK (length(secret) = 32),
    former     BYTEA   CHECK (length(former) = 32),
    keys       TEXT,
    version    BIGINT  NOT NULL,
    newest     BIGINT  NOT NULL,
    "from"     BIGINT  NOT NULL
);

CREATE TABLE assertion (
    digest     BYTEA  PRIMARY KEY CHECK (length(digest) = 32),
    expires_at BIGINT NOT NULL
);

CREATE INDEX assertion_by_expiry ON assertion (expires_at);

-- The nodes that serve, and how far each has applied the log.
CREATE TABLE node (
    id    TEXT   PRIMARY KEY,
    name  TEXT   NOT NULL,
    beat  BIGINT NOT NULL,
    seq   BIGINT NOT NULL,
    hash  BYTEA  NOT NULL CHECK (length(hash) = 32),
    bound BIGINT NOT NULL
);

-- Where the marks are, one for each folder of a mark, and where they may still be if a process died between
-- its commit and the writing of the file.
CREATE TABLE mark (
    id          TEXT   PRIMARY KEY,
    seq         BIGINT NOT NULL,
    hash        BYTEA  NOT NULL CHECK (length(hash) = 32),
    former_seq  BIGINT NOT NULL,
    former_hash BYTEA  NOT NULL CHECK (length(former_hash) = 32)
);
