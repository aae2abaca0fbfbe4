-- What stands for a user without a log-in, and what a user's own tasks are found by. Tasks of nobody cost these indexes nothing.

CREATE TABLE api_keys (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id    BLOB    NOT NULL REFERENCES users,
    name       TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    key_sha256 BLOB    NOT NULL UNIQUE CHECK (length(key_sha256) = 32)    -- of 32 random bytes, so nothing slower is needed
) STRICT;

CREATE INDEX api_keys_user ON api_keys (user_id);

-- Page by page, all and by digest; and those that have not ended, for what each owner may have at once.
CREATE INDEX tasks_owner      ON tasks (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX tasks_owner_md5  ON tasks (owner, result ->> 'md5', id) WHERE owner IS NOT NULL AND kind = 'md5' AND result IS NOT NULL;
CREATE INDEX tasks_owner_open ON tasks (owner)     WHERE owner IS NOT NULL AND finished IS NULL;
