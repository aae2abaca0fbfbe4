-- When a task that waits is tried again, beside `error_code` and `error_detail`, which tell then what it waits for; and the ended task
-- that another one takes up again.

ALTER TABLE tasks ADD COLUMN next_attempt timestamptz;
ALTER TABLE tasks ADD COLUMN retried_from uuid;
