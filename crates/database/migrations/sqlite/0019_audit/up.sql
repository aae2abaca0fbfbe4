-- What operators and admins have done to tasks, kinds and users that are not their own. Rows are only added.

CREATE TABLE audit (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,    -- never given out again
    at      INTEGER NOT NULL,
    user_id BLOB,                                          -- NULL: without a log-in
    who     TEXT    NOT NULL,                              -- the user's name at that time, the client's address, or the command
    act     TEXT    NOT NULL,
    target  TEXT    NOT NULL,                              -- an id, or the name of a kind
    detail  TEXT                                           -- what else there is to say of it
) STRICT;
