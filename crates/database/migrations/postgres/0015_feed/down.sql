DROP TRIGGER feed_ended ON tasks;
DROP FUNCTION feed_ended();
DROP FUNCTION number_feed(bigint);
DROP TABLE followers;
DROP TABLE feed_end;
DROP TABLE feed;
