-- From which networks accounts' owners were let in, by digests, and when that was noted last. The digest of a network
-- is of the account too, so it is one account's.
CREATE TABLE login_network (
    network BLOB    PRIMARY KEY CHECK (length(network) = 32),
    account BLOB    NOT NULL CHECK (length(account) = 32),
    seen    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_network_by_account ON login_network (account, seen);
CREATE INDEX login_network_by_age ON login_network (seen);

-- How many logins failed in a row at accounts that are slowed for it, by digests, and when that is forgotten. The
-- process counts in memory and writes now and then.
CREATE TABLE login_failure (
    account    BLOB    PRIMARY KEY CHECK (length(account) = 32),
    failures   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
