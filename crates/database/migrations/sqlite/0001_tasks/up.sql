-- One row a promise, one a worker process, one a log file. Times are microseconds since 1970, ids 16 bytes.

CREATE TABLE workers (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name        TEXT    NOT NULL,
    seen_at     INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

CREATE TABLE tasks (
    id               BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind             TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    owner            BLOB,
    idempotency_key  TEXT,
    content_sha256   BLOB,                          -- only where a key is given
    created          INTEGER NOT NULL,
    input            TEXT    NOT NULL CHECK (json_valid(input)),
    content          BLOB,                          -- a small upload itself; NULL again when the task has ended
    blob_check       INTEGER,                       -- XXH3 of a large upload, which lies in the blob store
    published_at     INTEGER,
    sweep_at         INTEGER NOT NULL,              -- when the sweep should publish (again)
    attempt          INTEGER NOT NULL DEFAULT 0,    -- goes up at every claim, never down
    tries            INTEGER NOT NULL DEFAULT 0,    -- attempts that ended badly
    worker           BLOB,
    started          INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    finished         INTEGER,
    result           TEXT CHECK (result IS NULL OR json_valid(result)),
    error_code       TEXT,
    error_detail     TEXT,
    logged_at        INTEGER
) STRICT;

CREATE UNIQUE INDEX tasks_idempotency ON tasks (coalesce(owner, zeroblob(16)), idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_due      ON tasks (sweep_at) WHERE status = 'pending';
CREATE INDEX tasks_running  ON tasks (worker)   WHERE status = 'running';
CREATE INDEX tasks_unlogged ON tasks (finished) WHERE finished IS NOT NULL AND logged_at IS NULL;
CREATE INDEX tasks_md5      ON tasks (result ->> 'md5') WHERE kind = 'md5';

CREATE TABLE log_head (
    log        TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    dev        INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    committed  INTEGER NOT NULL,
    tail_check INTEGER NOT NULL
) STRICT;

CREATE VIEW md5_tasks AS
    SELECT id AS task_id, status, result ->> 'md5' AS result FROM tasks WHERE kind = 'md5';
