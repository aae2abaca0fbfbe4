-- How far a running task has come, for kinds that go on there after a crash. Goes with its task.

CREATE TABLE progress (
    task  uuid  NOT NULL PRIMARY KEY,
    state jsonb NOT NULL
);
