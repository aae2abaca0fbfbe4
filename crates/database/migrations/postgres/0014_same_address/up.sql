-- Whether two texts are the same IP address: IPv6 has many ways to write one.
CREATE FUNCTION same_address(one text, other text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN one::inet = other::inet;
