-- How far a running task has come, for kinds that go on there after a crash. Goes with its task.

CREATE TABLE progress (
    task  BLOB NOT NULL PRIMARY KEY CHECK (length(task) = 16),
    state TEXT NOT NULL CHECK (json_valid(state))
) STRICT;
