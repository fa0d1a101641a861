-- A crash of the server must not make a stranger of everybody. A network is written at most once a day.
ALTER TABLE login_network SET LOGGED;

-- How many logins failed in a row at an account, by its digest, and when the last one was (in nanoseconds, by this
-- server's clock). Every failure writes it, so it is not worth a write to disk: a crash empties it.
CREATE UNLOGGED TABLE login_failure (
    account  BYTEA  PRIMARY KEY CHECK (length(account) = 32),
    failures BIGINT NOT NULL,
    last     BIGINT NOT NULL
);

CREATE INDEX login_failure_by_age ON login_failure (last);
