-- What operators ask for: kinds whose tasks are not begun for now, and workers that take nothing more.

CREATE TABLE pauses (
    kind  TEXT    NOT NULL PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;

ALTER TABLE workers ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
