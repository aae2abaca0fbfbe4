-- Which deployment this database is of: queues, channels and keys on servers that deployments share are named by it.
-- A copy of the database is the same deployment, until it is given an id of its own.

CREATE TABLE deployment (
    is_only boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
    id      text    NOT NULL CHECK (id ~ '^[0-9a-f]{12}$')
);

INSERT INTO deployment (id) VALUES (substr(replace(gen_random_uuid()::text, '-', ''), 1, 12));
