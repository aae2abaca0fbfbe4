-- What operators ask for: kinds whose tasks are not begun for now, and workers that take nothing more.

CREATE TABLE pauses (
    kind  text        NOT NULL PRIMARY KEY,
    since timestamptz NOT NULL
);

-- The kinds that are paused, for a statement that begins tasks. The lock is taken first and kept until the commit, so a pause waits for
-- such statements; and this is volatile, so the rows are read after the lock is taken, not as they were when the statement began.
CREATE FUNCTION paused_kinds() RETURNS text[] LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(6304);
    RETURN ARRAY(SELECT kind FROM pauses);
END
$$;

-- Pauses a kind, and returns since when it is paused. One statement, so no client's silence holds the lock.
CREATE FUNCTION pause_kind(paused text) RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(6304);
    INSERT INTO pauses (kind, since) VALUES (paused, now_plus(0)) ON CONFLICT DO NOTHING;
    RETURN (SELECT since FROM pauses WHERE kind = paused);
END
$$;

ALTER TABLE workers ADD COLUMN draining boolean NOT NULL DEFAULT false;
