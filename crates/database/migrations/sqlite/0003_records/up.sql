-- The access log: one row a request that was reported. `seq` is the order of commit, and `created` never goes back in that
-- order, so a date is found as a place in it. There is one writer, so both hold by themselves.

CREATE TABLE records (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never given out again
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    created     INTEGER NOT NULL,
    ip          TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    uri         TEXT    NOT NULL,
    status_code INTEGER NOT NULL
) STRICT;

CREATE INDEX records_created ON records (created);
