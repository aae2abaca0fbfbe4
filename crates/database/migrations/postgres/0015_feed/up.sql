-- The feed: every ended task, in one order for all readers. A statement that ends tasks inserts one row with their ids in its own
-- transaction, without a number; `number_feed` numbers rows once they are committed. `(no, place in the row)` is the order.

CREATE TABLE feed (
    batch    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    no       bigint,                                       -- gap-free, and never changed once it is given; NULL before
    appended timestamptz NOT NULL,                         -- when the last of its tasks ended
    tasks    uuid[]      NOT NULL CHECK (cardinality(tasks) > 0)
);

CREATE UNIQUE INDEX feed_no         ON feed (no)    WHERE no IS NOT NULL;
CREATE INDEX        feed_unnumbered ON feed (batch) WHERE no IS NULL;

-- The last number that was given. Its lock is what numbers are given under.
CREATE TABLE feed_end (
    is_only boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
    no      bigint  NOT NULL
);

-- How far each follower of the feed has come: up to (no, within), and the tasks after that in `ahead`. An outcome log is one.
CREATE TABLE followers (
    name       text        NOT NULL PRIMARY KEY,
    kind       text        NOT NULL,
    location   text        NOT NULL,                       -- host name and path
    version    bigint      NOT NULL,                       -- goes up with every change
    dev        bigint      NOT NULL,
    ino        bigint      NOT NULL,
    committed  bigint      NOT NULL,
    tail_check bigint      NOT NULL,
    no         bigint      NOT NULL,
    within     bigint      NOT NULL,
    ahead      uuid[]      NOT NULL,
    seen_at    timestamptz NOT NULL
);

-- Numbers up to `most` rows, and returns how many; NULL if another process does so now. One statement, so no client's silence holds the
-- lock; and volatile, so each statement in it sees what was committed before it: the rows must be read after the lock is taken.
CREATE FUNCTION number_feed(most bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last     bigint;
    numbered bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM feed WHERE no IS NULL) THEN
        RETURN 0;
    END IF;
    SELECT no INTO last FROM feed_end FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- In words that match no index but the key's: a plan that was made while few rows had no number would compare all of those with each.
    UPDATE feed SET no = last + counted.place
        FROM (SELECT batch, row_number() OVER (ORDER BY batch) AS place FROM feed WHERE no IS NULL ORDER BY batch LIMIT most) AS counted
        WHERE feed.batch = ANY (ARRAY[counted.batch]) AND coalesce(feed.no, 0) = 0;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    UPDATE feed_end SET no = last + numbered;
    RETURN numbered;
END
$$;

-- Processes of the version before end tasks without a row in the feed, so a trigger inserts it, for any session that does not say that its
-- statements do. It comes before the rows below are read, and its lock stays until the end: no end falls between. It also marks the task
-- as logged, as these statements do: so the version before writes no line from now on, and the lines are left to this version's logs.
CREATE FUNCTION feed_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed (appended, tasks) VALUES (NEW.finished, ARRAY[NEW.id]);
    NEW.logged_at := NEW.finished;
    RETURN NEW;
END
$$;

CREATE TRIGGER feed_ended BEFORE UPDATE OF finished ON tasks FOR EACH ROW
    WHEN (OLD.finished IS NULL AND NEW.finished IS NOT NULL AND current_setting('coatcheck.feeds', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION feed_ended();

-- What ended before: first what is in the outcome log, then what is due there, each in the order of the ends.
INSERT INTO feed (no, appended, tasks)
    SELECT no, max(finished), array_agg(id ORDER BY place)
    FROM (SELECT id, finished, place, (place + 255) / 256 AS no
          FROM (SELECT id, finished, row_number() OVER (ORDER BY logged_at IS NULL, finished, id) AS place
                FROM tasks WHERE finished IS NOT NULL) AS ended) AS batched
    GROUP BY no ORDER BY no;

INSERT INTO feed_end (no) SELECT coalesce(max(no), 0) FROM feed;

-- The logs of the version before go on where they stand. They are named by their paths alone.
INSERT INTO followers (name, kind, location, version, dev, ino, committed, tail_check, no, within, ahead, seen_at)
    SELECT log, 'log', log, 1, dev, ino, committed, tail_check, (logged.count + 255) / 256,
           CASE WHEN logged.count = 0 THEN 0 ELSE (logged.count - 1) % 256 + 1 END, '{}', now_plus(0)
    FROM log_head, (SELECT count(*) AS count FROM tasks WHERE finished IS NOT NULL AND logged_at IS NOT NULL) AS logged;

UPDATE tasks SET logged_at = finished WHERE finished IS NOT NULL AND logged_at IS NULL;
