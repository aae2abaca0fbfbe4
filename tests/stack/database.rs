//! The database may be read by people.

use rstest_reuse::apply;

use crate::kit::stack::{Setup, Stack, both_stacks, distributed};

const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

impl Stack {
    /// An id as the database has it in a condition.
    pub fn sql_id(&self, id: &str) -> String {
        if self.is_distributed() { format!("'{id}'") } else { format!("x'{}'", id.replace('-', "")) }
    }
}

#[apply(both_stacks)]
async fn a_view_tells_the_digests(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = stack.put("abc").await;
    let query = format!("SELECT status, result FROM md5_tasks WHERE task_id = {}", stack.sql_id(&id));
    assert_eq!(stack.sql(&query), "pending|");

    held.release();
    stack.until(&id, "succeeded").await;

    assert_eq!(stack.sql(&query), format!("succeeded|{ABC}"));
}

#[apply(both_stacks)]
async fn the_table_of_tasks_has_the_columns_that_people_may_rely_on(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;

    let row = stack.sql(&format!(
        "SELECT kind, status, attempt, published_at IS NULL OR published_at >= created, logged_at >= finished \
         FROM tasks WHERE id = {}",
        stack.sql_id(&id)
    ));

    assert_eq!(row.replace("|t", "|1"), "md5|succeeded|1|1|1");
}

#[apply(distributed)]
async fn statuses_are_an_enum(setup: Setup) {
    let stack = setup.start(&[]).await;
    let words = stack.sql("SELECT unnest(enum_range(NULL::taskstatus))");

    assert_eq!(words.lines().collect::<Vec<_>>(), ["pending", "running", "succeeded", "failed", "cancelled"]);
}
