ALTER TABLE workers DROP COLUMN draining;
DROP TABLE pauses;
