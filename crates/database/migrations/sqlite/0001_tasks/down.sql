DROP VIEW md5_tasks;
DROP TABLE log_head;
DROP TABLE tasks;
DROP TABLE workers;
