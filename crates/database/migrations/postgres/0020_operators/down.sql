ALTER TABLE workers DROP COLUMN draining;
DROP FUNCTION pause_kind(text);
DROP FUNCTION paused_kinds();
DROP TABLE pauses;
