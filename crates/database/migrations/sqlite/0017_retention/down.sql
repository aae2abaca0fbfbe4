DROP INDEX tasks_retried;
DROP TABLE retention;
