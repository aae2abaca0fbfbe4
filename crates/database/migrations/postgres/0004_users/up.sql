-- Who may log in, and what each may do beyond that.

CREATE TABLE users (
    id            uuid        NOT NULL PRIMARY KEY,
    username      text        NOT NULL UNIQUE,
    password_hash text        NOT NULL,            -- argon2id, as a PHC string
    created       timestamptz NOT NULL
);

CREATE TABLE user_rights (
    user_id    uuid NOT NULL REFERENCES users,
    right_name text NOT NULL,
    PRIMARY KEY (user_id, right_name)
);
