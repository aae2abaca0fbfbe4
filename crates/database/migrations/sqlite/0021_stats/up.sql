-- Statistics of tasks, by minute and kind. A task is counted once it has ended, and all that have ended up to one place in the feed are
-- counted.

CREATE TABLE stats (
    minute    INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    accepted  INTEGER NOT NULL,    -- of the ended tasks, those created in that minute
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    waits     TEXT    NOT NULL,    -- how long they waited: the number of tasks by bucket
    works     TEXT    NOT NULL,    -- how long their last attempts took
    PRIMARY KEY (minute, kind)
) STRICT;

-- Up to where the feed is counted.
CREATE TABLE stats_place (
    is_only INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (is_only = 1),
    no      INTEGER NOT NULL,
    within  INTEGER NOT NULL
) STRICT;

INSERT INTO stats_place (no, within) VALUES (0, 0);
