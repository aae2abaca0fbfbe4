-- How far retention has come with each subject. Of tasks (`succeeded`, `failed`, `cancelled`) and of the uploads of failed ones
-- (`failed-uploads`): all up to the place (no, within) of the feed are gone, which ended up to `until`. Of `records`: all up to `no`.

CREATE TABLE retention (
    subject TEXT    NOT NULL PRIMARY KEY,
    no      INTEGER NOT NULL DEFAULT 0,
    within  INTEGER NOT NULL DEFAULT 0,
    until   INTEGER
) STRICT;

INSERT INTO retention (subject) VALUES ('succeeded'), ('failed'), ('cancelled'), ('failed-uploads'), ('records');

-- A task is kept while another one continues it.
CREATE INDEX tasks_retried ON tasks (retried_from) WHERE retried_from IS NOT NULL;
