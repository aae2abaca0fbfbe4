-- What stands for a user without a log-in, and what a user's own tasks are found by. Tasks of nobody cost these indexes nothing.

CREATE TABLE api_keys (
    id         uuid        NOT NULL PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users,
    name       text        NOT NULL,
    created    timestamptz NOT NULL,
    key_sha256 bytea       NOT NULL UNIQUE         -- of 32 random bytes, so nothing slower is needed
);

CREATE INDEX api_keys_user ON api_keys (user_id);

-- Page by page, all and by digest; and those that have not ended, for what each owner may have at once.
CREATE INDEX tasks_owner      ON tasks (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX tasks_owner_md5  ON tasks (owner, (result ->> 'md5'), id) WHERE owner IS NOT NULL AND kind = 'md5' AND result IS NOT NULL;
CREATE INDEX tasks_owner_open ON tasks (owner)     WHERE owner IS NOT NULL AND finished IS NULL;
