-- Each row of a table that has its final answer. What was sent is kept with it: the upload goes when the task ends.

CREATE TABLE table_rows (
    task    uuid        NOT NULL,
    number  bigint      NOT NULL,   -- in the file, counted from 1
    attempt bigint      NOT NULL,   -- the one that kept it
    at      timestamptz NOT NULL,
    input   jsonb       NOT NULL,
    status  smallint,               -- of HTTP; NULL: no answer ever came
    reply   jsonb       NOT NULL,
    failed  boolean     NOT NULL,
    PRIMARY KEY (task, number)
);

CREATE INDEX table_rows_failed ON table_rows (task, number) WHERE failed;
