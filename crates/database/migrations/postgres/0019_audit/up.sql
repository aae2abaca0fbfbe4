-- What operators and admins have done to tasks, kinds and users that are not their own. Rows are only added.

CREATE TABLE audit (
    id      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    user_id uuid,                       -- NULL: without a log-in
    who     text        NOT NULL,       -- the user's name at that time, the client's address, or the command
    act     text        NOT NULL,
    target  text        NOT NULL,       -- an id, or the name of a kind
    detail  text                        -- what else there is to say of it
);
