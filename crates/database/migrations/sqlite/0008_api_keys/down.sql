DROP INDEX tasks_owner_open;
DROP INDEX tasks_owner_md5;
DROP INDEX tasks_owner;
DROP TABLE api_keys;
