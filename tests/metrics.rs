//! What an operator's Prometheus is told.

use crate::program::eventually;

on_both_stacks!(metrics_tell_what_happens_to_promises, |stack| async move {
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;

    let told = eventually("metrics that have counted", async || {
        let told = stack.get("/metrics").await.text().to_owned();
        let is_counted = told.contains("coatcheck_tasks_accepted_total{kind=\"md5\"} 1");
        if is_counted { Ok(told) } else { Err(told) }
    })
    .await;

    for line in [
        "coatcheck_tasks{kind=\"md5\",status=\"pending\"} 0",
        "coatcheck_tasks{kind=\"md5\",status=\"running\"} 0",
        "coatcheck_unpublished_tasks{kind=\"md5\"} 0",
        "coatcheck_oldest_pending_seconds{kind=\"md5\"} 0",
        "coatcheck_queue_up 1",
        "coatcheck_answer_seconds_count 1",
        "# HELP coatcheck_database_connections",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
});
