-- Attempts that were charged to their task or lost with their worker: what went wrong, for people who look for the cause. The last attempt is
-- in the task's own row.

CREATE TABLE attempts (
    task         BLOB    NOT NULL CHECK (length(task) = 16),
    attempt      INTEGER NOT NULL,
    worker       BLOB,
    started      INTEGER,
    ended        INTEGER NOT NULL,
    error_code   TEXT    NOT NULL,
    error_detail TEXT    NOT NULL,
    PRIMARY KEY (task, attempt)
) STRICT;
