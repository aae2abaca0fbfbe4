-- Tasks as people look for them, page by page: by the time of their end, all and each owner's; those that failed or were cancelled; those
-- that failed with one code; and by the first characters of the file's name, as many as the index has.

CREATE INDEX tasks_finished       ON tasks (finished, id)        WHERE finished IS NOT NULL;
CREATE INDEX tasks_owner_finished ON tasks (owner, finished, id) WHERE owner IS NOT NULL AND finished IS NOT NULL;
CREATE INDEX tasks_unsuccessful   ON tasks (status, id)          WHERE status IN ('failed', 'cancelled');
CREATE INDEX tasks_error_code     ON tasks (error_code, id)      WHERE status = 'failed' AND error_code IS NOT NULL;
CREATE INDEX tasks_filename       ON tasks (substr(input ->> 'filename', 1, 32) text_pattern_ops) WHERE input ->> 'filename' IS NOT NULL;
