-- The feed: every ended task, in one order for all readers. There is one writer, so the order of the rows is the order of commit, and a row
-- has its number from the beginning: without gaps, and never changed.

CREATE TABLE feed (
    no       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,    -- never given out again
    appended INTEGER NOT NULL,                              -- when the task ended
    task     BLOB    NOT NULL CHECK (length(task) = 16)
) STRICT;

-- How far each follower of the feed has come: up to (no, within), and the tasks after that in `ahead`, 16 bytes each. An outcome log is one.
CREATE TABLE followers (
    name       TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    location   TEXT    NOT NULL,                            -- host name and path
    version    INTEGER NOT NULL,                            -- goes up with every change
    dev        INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    committed  INTEGER NOT NULL,
    tail_check INTEGER NOT NULL,
    no         INTEGER NOT NULL,
    within     INTEGER NOT NULL,
    ahead      BLOB    NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT;

-- What ended before: first what is in the outcome log, then what is due there, each in the order of the ends.
INSERT INTO feed (appended, task)
    SELECT finished, id FROM tasks WHERE finished IS NOT NULL ORDER BY logged_at IS NULL, finished, id;

-- Whatever ends a task enters it in the feed, in its transaction.
CREATE TRIGGER feed_ended AFTER UPDATE OF finished ON tasks WHEN old.finished IS NULL AND new.finished IS NOT NULL
BEGIN
    INSERT INTO feed (appended, task) VALUES (new.finished, new.id);
END;

-- The log goes on where it stands. Until now it was named by its path alone.
INSERT INTO followers (name, kind, location, version, dev, ino, committed, tail_check, no, within, ahead, seen_at)
    SELECT log, 'log', log, 1, dev, ino, committed, tail_check,
           (SELECT count(*) FROM tasks WHERE finished IS NOT NULL AND logged_at IS NOT NULL), 1, x'',
           (SELECT coalesce(max(finished), 0) FROM tasks)
    FROM log_head;

UPDATE tasks SET logged_at = finished WHERE finished IS NOT NULL AND logged_at IS NULL;
