ALTER TABLE users DROP COLUMN disabled;
ALTER TABLE users DROP COLUMN sessions;
