-- How many logins were tried, by digests of who tried and at whom, as the time (in nanoseconds, by this server's
-- clock) at which all that was let through will be forgotten. Nothing here is worth a write to disk: a crash
-- empties both tables.
CREATE UNLOGGED TABLE login_limit (
    key BYTEA  PRIMARY KEY CHECK (length(key) = 32),
    tat BIGINT NOT NULL
);

-- From which networks accounts' owners were let in, and when that was noted last.
CREATE UNLOGGED TABLE login_network (
    account BYTEA  NOT NULL CHECK (length(account) = 32),
    network BYTEA  NOT NULL CHECK (length(network) = 32),
    seen    BIGINT NOT NULL,
    PRIMARY KEY (account, network)
);

CREATE INDEX login_network_by_age ON login_network (seen);
