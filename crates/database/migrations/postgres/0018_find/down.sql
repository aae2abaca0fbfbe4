DROP INDEX tasks_filename;
DROP INDEX tasks_error_code;
DROP INDEX tasks_unsuccessful;
DROP INDEX tasks_owner_finished;
DROP INDEX tasks_finished;
