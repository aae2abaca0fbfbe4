-- Each request that was sent to the paid provider, written before it was sent: what it is paid for.

CREATE TABLE paid_calls (
    task               BLOB    NOT NULL CHECK (length(task) = 16),
    attempt            INTEGER NOT NULL,
    at                 INTEGER NOT NULL,
    free_blocked_until INTEGER,              -- at least until then; NULL: the paid provider was asked for
    PRIMARY KEY (task, attempt)
) STRICT;
