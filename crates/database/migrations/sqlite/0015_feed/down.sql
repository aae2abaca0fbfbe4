DROP TRIGGER feed_ended;
DROP TABLE followers;
DROP TABLE feed;
