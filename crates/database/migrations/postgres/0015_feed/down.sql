-- The version before goes on where the logs stand.
DELETE FROM log_head;
INSERT INTO log_head (log, generation, dev, ino, committed, tail_check)
    SELECT DISTINCT ON (log) log, 1, dev, ino, committed, tail_check
    FROM (SELECT regexp_replace(location, '^[^/]*:', '') AS log, dev, ino, committed, tail_check, no, within FROM followers) AS logs
    ORDER BY log, no DESC, within DESC;
UPDATE tasks SET logged_at = NULL
    FROM feed, unnest(feed.tasks) WITH ORDINALITY AS one (task, within),
         (SELECT no, within, ahead FROM followers ORDER BY no DESC, within DESC LIMIT 1) AS log
    WHERE tasks.id = one.task AND (feed.no IS NULL OR (feed.no, one.within) > (log.no, log.within)) AND one.task <> ALL (log.ahead);

DROP TRIGGER feed_ended ON tasks;
DROP FUNCTION feed_ended();
DROP FUNCTION number_feed(bigint);
DROP TABLE followers;
DROP TABLE feed_end;
DROP TABLE feed;
