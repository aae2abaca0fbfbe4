DROP INDEX tasks_md5;
CREATE INDEX tasks_md5 ON tasks ((result ->> 'md5')) WHERE kind = 'md5';

DROP INDEX tasks_idempotency;
CREATE UNIQUE INDEX tasks_idempotency ON tasks (owner, idempotency_key) NULLS NOT DISTINCT
    WHERE idempotency_key IS NOT NULL;
