-- One row a promise, one a worker process, one a log file.

CREATE TYPE taskstatus AS ENUM ('pending', 'running', 'succeeded', 'failed', 'cancelled');

-- The one clock that everything is decided by.
CREATE FUNCTION now_plus(seconds double precision) RETURNS timestamptz
    LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() + make_interval(secs => seconds) $$;

CREATE TABLE workers (
    id          uuid        NOT NULL PRIMARY KEY,
    name        text        NOT NULL,
    seen_at     timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

CREATE TABLE tasks (
    id               uuid        NOT NULL PRIMARY KEY,
    kind             text        NOT NULL,
    status           taskstatus  NOT NULL,
    owner            uuid,
    idempotency_key  text,
    content_sha256   bytea,                           -- only where a key is given
    created          timestamptz NOT NULL,
    input            jsonb       NOT NULL,
    content          bytea,                           -- a small upload itself; NULL again when the task has ended
    blob_check       bigint,                          -- XXH3 of a large upload, which lies in the blob store
    published_at     timestamptz,
    sweep_at         timestamptz NOT NULL,            -- when the sweep should publish (again)
    attempt          bigint      NOT NULL DEFAULT 0,  -- goes up at every claim, never down
    tries            int         NOT NULL DEFAULT 0,  -- attempts that ended badly
    worker           uuid,
    started          timestamptz,
    cancel_requested boolean     NOT NULL DEFAULT false,
    finished         timestamptz,
    result           jsonb,
    error_code       text,
    error_detail     text,
    logged_at        timestamptz
);

CREATE UNIQUE INDEX tasks_idempotency ON tasks (owner, idempotency_key) NULLS NOT DISTINCT
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_due      ON tasks (sweep_at) WHERE status = 'pending';
CREATE INDEX tasks_running  ON tasks (worker)   WHERE status = 'running';
CREATE INDEX tasks_unlogged ON tasks (finished) WHERE finished IS NOT NULL AND logged_at IS NULL;
CREATE INDEX tasks_md5      ON tasks ((result ->> 'md5')) WHERE kind = 'md5';

CREATE TABLE log_head (
    log        text   NOT NULL PRIMARY KEY,
    generation int    NOT NULL,
    dev        bigint NOT NULL,
    ino        bigint NOT NULL,
    committed  bigint NOT NULL,
    tail_check bigint NOT NULL
);

CREATE VIEW md5_tasks AS
    SELECT id AS task_id, status, result ->> 'md5' AS result FROM tasks WHERE kind = 'md5';
