ALTER TABLE tasks DROP COLUMN retried_from;
ALTER TABLE tasks DROP COLUMN next_attempt;
