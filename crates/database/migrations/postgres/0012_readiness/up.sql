-- One row, which is written to find out whether the database takes writes.

CREATE TABLE readiness (
    id integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    at timestamptz NOT NULL
);
