DROP VIEW md5_tasks;
DROP TABLE log_head;
DROP TABLE tasks;
DROP TABLE workers;
DROP FUNCTION now_plus(double precision);
DROP TYPE taskstatus;
