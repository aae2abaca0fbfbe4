-- Statistics of tasks, by minute and kind. A task is counted once it has ended and has its place in the feed, and all that have ended up to
-- one place are counted.

CREATE TABLE stats (
    minute    timestamptz NOT NULL,
    kind      text        NOT NULL,
    accepted  bigint      NOT NULL,    -- of the ended tasks, those created in that minute
    succeeded bigint      NOT NULL,
    failed    bigint      NOT NULL,
    cancelled bigint      NOT NULL,
    waits     jsonb       NOT NULL,    -- how long they waited: the number of tasks by bucket
    works     jsonb       NOT NULL,    -- how long their last attempts took
    PRIMARY KEY (minute, kind)
);

-- Up to where the feed is counted. Its lock is what is counted under.
CREATE TABLE stats_place (
    is_only boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
    no      bigint  NOT NULL,
    within  bigint  NOT NULL
);

INSERT INTO stats_place (no, within) VALUES (0, 0);
