-- The inventory, and the one row a session that renewals compete for.
CREATE TABLE session (
    lineage        TEXT    PRIMARY KEY,
    user           TEXT    NOT NULL,
    auth_time      INTEGER NOT NULL,
    session_expiry INTEGER NOT NULL,
    generation     INTEGER NOT NULL,
    renew_at       INTEGER NOT NULL,
    grace_until    INTEGER NOT NULL,
    idle_end       INTEGER NOT NULL,
    address        TEXT,
    browser        TEXT
) STRICT;

CREATE INDEX session_user ON session (user, auth_time);
CREATE INDEX session_expiry ON session (session_expiry);

-- With how much leeway tokens were accepted last, in milliseconds: by a larger one, what had expired by this
-- one stays expired.
ALTER TABLE head ADD COLUMN leeway INTEGER NOT NULL DEFAULT 5000;

-- Until when the generation that a renewal ends stays good.
ALTER TABLE revocation ADD COLUMN grace_until INTEGER;
