//! Rolling upgrades: the next version's migration runs while this version works, so it may only add what this one needs not
//! know. This is what such a migration does, before there is a next version to do it.

use rstest_reuse::apply;
use std::sync::Arc;

use crate::kit::stack::{Setup, Stack, distributed};

/// Additions to each table, as the next version may make them. Each is a statement of its own: one that locks a table and waits for another
/// could deadlock with processes that lock them in the other order.
const NEXT: [&str; 5] = [
    "ALTER TABLE tasks ADD COLUMN later text",
    "ALTER TABLE workers ADD COLUMN later bigint NOT NULL DEFAULT 0",
    "ALTER TABLE followers ADD COLUMN later text",
    "CREATE TABLE later (id uuid PRIMARY KEY)",
    "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
];

#[apply(distributed)]
async fn a_process_works_on_over_the_next_schema(setup: Setup) {
    let stack = setup.start(&[]).await;
    keeps_a_promise(&stack).await;

    migrate(&stack);

    keeps_a_promise(&stack).await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(distributed)]
async fn a_process_that_is_rolled_back_starts_over_the_next_schema(setup: Setup) {
    let stack = setup.start(&[]).await;
    migrate(&stack);
    stack.kill();

    stack.start().await;

    keeps_a_promise(&stack).await;
    assert_eq!(stack.sql("SELECT count(*) FROM __diesel_schema_migrations WHERE version = '9999'"), "1");
}

fn migrate(stack: &Stack) {
    for statement in NEXT {
        stack.sql(statement);
    }
}

/// By way of a row and by way of a blob.
async fn keeps_a_promise(stack: &Arc<Stack>) {
    for content in ["abc".to_owned(), "abc".repeat(100_000)] {
        let id = stack.put(content).await;
        stack.until(&id, "succeeded").await;
    }
}
