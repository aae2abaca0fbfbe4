//! What an operator's Prometheus is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn operators_are_told_what_to_do_about_each_metric() {
    let metrics = metrics_named_in("task-data/src/metrics.rs");

    assert!(metrics.len() > 15, "{metrics:?}");
    assert_eq!(metrics.difference(&metrics_named_in("OPERATIONS.md")).count(), 0);
    // A histogram has its name in three parts.
    let alerts = metrics_named_in("deployment/alerts.yml");
    let unknown = alerts.iter().find(|name| !metrics.contains(name.trim_end_matches("_bucket")));
    assert_eq!(unknown, None, "an alert on what nobody tells");
}

/// Every `coatcheck_…` in one of our files.
fn metrics_named_in(path: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = fs::read_to_string(&path).unwrap();
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.len() > "coatcheck_".len() && word.starts_with("coatcheck_"))
        .map(str::to_owned)
        .collect()
}
