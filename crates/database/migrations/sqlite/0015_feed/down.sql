-- The version before goes on where the log stands.
DELETE FROM log_head;
INSERT OR IGNORE INTO log_head (log, generation, dev, ino, committed, tail_check)
    SELECT substr(location, instr(location, ':') + 1), 1, dev, ino, committed, tail_check FROM followers ORDER BY no DESC;
UPDATE tasks SET logged_at = NULL WHERE id IN (SELECT task FROM feed WHERE no > (SELECT max(no) FROM followers));

DROP TRIGGER feed_ended;
DROP TABLE followers;
DROP TABLE feed;
