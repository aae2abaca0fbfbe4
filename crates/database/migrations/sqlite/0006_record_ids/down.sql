DROP INDEX records_id;
CREATE UNIQUE INDEX records_id ON records (id);
