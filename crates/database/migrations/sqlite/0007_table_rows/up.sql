-- Each row of a table that has its final answer. What was sent is kept with it: the upload goes when the task ends.

CREATE TABLE table_rows (
    task    BLOB    NOT NULL CHECK (length(task) = 16),
    number  INTEGER NOT NULL,   -- in the file, counted from 1
    attempt INTEGER NOT NULL,   -- the one that kept it
    at      INTEGER NOT NULL,
    input   TEXT    NOT NULL CHECK (json_valid(input)),
    status  INTEGER,            -- of HTTP; NULL: no answer ever came
    reply   TEXT    NOT NULL CHECK (json_valid(reply)),
    failed  INTEGER NOT NULL,
    PRIMARY KEY (task, number)
) STRICT;

CREATE INDEX table_rows_failed ON table_rows (task, number) WHERE failed;
