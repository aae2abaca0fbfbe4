-- The access log: one row a request that was reported. `seq` is the order of commit, and `created` never goes back in that
-- order, so a date is found as a place in it. Both hold because rows come in through `append_records` alone.

CREATE TABLE records (
    seq         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid        NOT NULL UNIQUE,
    created     timestamptz NOT NULL,
    ip          text        NOT NULL,
    method      text        NOT NULL,
    uri         text        NOT NULL,
    status_code smallint    NOT NULL
);

CREATE INDEX records_created ON records (created, seq);

-- A sequence alone counts in the order of asking: a reader could see 2 before 1 is committed, go on after 2, and never meet
-- 1. So one transaction at a time appends. The lock goes when its rows can be seen, and as the function is one statement,
-- no client's silence can hold it.
CREATE FUNCTION append_records(ids uuid[], ips text[], methods text[], uris text[], status_codes smallint[])
    RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_or_last timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(6303);
    -- A statement after the lock sees what the one before us has committed; a clock that was set back must not show.
    SELECT created INTO now_or_last FROM records ORDER BY seq DESC LIMIT 1;
    now_or_last := greatest(now_or_last, now_plus(0));
    INSERT INTO records (id, created, ip, method, uri, status_code)
        SELECT new.id, now_or_last, new.ip, new.method, new.uri, new.status_code
        FROM unnest(ids, ips, methods, uris, status_codes) WITH ORDINALITY
            AS new (id, ip, method, uri, status_code, place)
        ORDER BY new.place;
    RETURN now_or_last;
END
$$;
