-- Sessions that end before their tokens do, and users who may not come in.

ALTER TABLE users ADD COLUMN sessions INTEGER NOT NULL DEFAULT 0;    -- a token holds only with the number that it was issued with
ALTER TABLE users ADD COLUMN disabled INTEGER;                       -- since when
