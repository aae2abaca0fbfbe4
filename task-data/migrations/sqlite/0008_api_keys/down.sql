DROP INDEX tasks_owner_open;
DROP INDEX tasks_owner;
DROP TABLE api_keys;
