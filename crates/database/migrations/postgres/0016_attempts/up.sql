-- Attempts that were charged to their task or lost with their worker: what went wrong, for people who look for the cause. The last attempt is
-- in the task's own row.

CREATE TABLE attempts (
    task         uuid        NOT NULL,
    attempt      bigint      NOT NULL,
    worker       uuid,
    started      timestamptz,
    ended        timestamptz NOT NULL,
    error_code   text        NOT NULL,
    error_detail text        NOT NULL,
    PRIMARY KEY (task, attempt)
);
