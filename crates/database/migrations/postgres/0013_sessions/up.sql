-- Sessions that end before their tokens do, and users who may not come in.

ALTER TABLE users ADD COLUMN sessions bigint NOT NULL DEFAULT 0;    -- a token holds only with the number that it was issued with
ALTER TABLE users ADD COLUMN disabled timestamptz;                  -- since when
