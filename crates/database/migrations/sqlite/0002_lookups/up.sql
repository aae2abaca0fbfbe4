-- A task by its idempotency key, and tasks by their digest, page by page. Rows without either cost these indexes nothing.

DROP INDEX tasks_idempotency;
CREATE UNIQUE INDEX tasks_idempotency ON tasks (idempotency_key, coalesce(owner, zeroblob(16)))
    WHERE idempotency_key IS NOT NULL;

DROP INDEX tasks_md5;
CREATE INDEX tasks_md5 ON tasks (result ->> 'md5', id) WHERE kind = 'md5' AND result IS NOT NULL;
