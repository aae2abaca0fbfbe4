-- Each request that was sent to the paid provider, written before it was sent: what it is paid for.

CREATE TABLE paid_calls (
    task               uuid        NOT NULL,
    attempt            bigint      NOT NULL,
    at                 timestamptz NOT NULL,
    free_blocked_until timestamptz,           -- at least until then; NULL: the paid provider was asked for
    PRIMARY KEY (task, attempt)
);
