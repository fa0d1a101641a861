-- The one node that serves, and how far it has applied the log: for a fenced logout by a tool beside it.
CREATE TABLE node (
    id    TEXT    PRIMARY KEY,
    name  TEXT    NOT NULL,
    beat  INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    bound INTEGER NOT NULL
) STRICT;
