-- Who may log in, and what each may do beyond that.

CREATE TABLE users (
    id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    username      TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,                -- argon2id, as a PHC string
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE user_rights (
    user_id    BLOB NOT NULL REFERENCES users,
    right_name TEXT NOT NULL,
    PRIMARY KEY (user_id, right_name)
) STRICT;
