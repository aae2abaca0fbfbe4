DROP FUNCTION append_records(uuid[], text[], text[], text[], smallint[]);
DROP TABLE records;
