//! The list of tasks: newest first, by pages, by filters.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn the_newest_task_comes_first(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut ids = Vec::new();
    for text in ["first", "second", "third"] {
        ids.insert(0, stack.put(text).await);
        another_millisecond().await;
    }

    assert_eq!(ids_of(&stack.tasks("").await), ids);
}

#[apply(both_stacks)]
async fn pages_have_every_task_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut ids = HashSet::new();
    for number in 0..23 {
        ids.insert(stack.put(format!("number {number}")).await);
    }
    for limit in [1, 2, 5, 22, 23, 24, 1000] {
        let found = ids_of(&stack.tasks(&format!("limit={limit}")).await);

        assert_eq!(found.len(), 23, "limit={limit}");
        assert_eq!(found.into_iter().collect::<HashSet<_>>(), ids, "limit={limit}");
    }
    let page = stack.get("/api/v1/tasks?limit=5").await.json();
    assert_eq!(page["tasks"].as_array().unwrap().len(), 5);
    assert!(stack.get("/api/v1/tasks").await.json()["next"].is_null(), "there is no page after the last one");
}

#[apply(both_stacks)]
async fn pages_go_on_where_they_were_whatever_is_added(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut ids = HashSet::new();
    for number in 0..10 {
        ids.insert(stack.put(format!("number {number}")).await);
    }
    another_millisecond().await;

    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = stack.get(&format!("/api/v1/tasks?limit=3{after}")).await.json();
        found.extend(ids_of(page["tasks"].as_array().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
        stack.put("one that came in between").await;
    }

    assert_eq!(found.len(), 10);
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), ids);
}

#[apply(both_stacks)]
async fn filters_choose_by_kind_and_status(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let done = stack.put("done").await;
    stack.until(&done, "succeeded").await;
    let held = stack.hold_worker().await;
    let pending = [stack.put("waits").await, stack.put("waits too").await];
    let cancelled = stack.put("cancelled").await;
    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{cancelled}")).await;

    let with_status =
        async |status: &str| ids_of(&stack.tasks(&format!("kind=md5&status={status}&limit=1")).await);

    assert_eq!(with_status("running").await, std::slice::from_ref(&held.id));
    assert_eq!(HashSet::from_iter(with_status("pending").await), HashSet::from(pending));
    assert_eq!(with_status("cancelled").await, [cancelled]);
    assert_eq!(with_status("failed").await, [""; 0]);
    assert!(with_status("succeeded").await.contains(&done));
    assert_eq!(stack.tasks("kind=md5").await.len(), stack.tasks("").await.len());
    held.release();
}

#[apply(both_stacks)]
async fn parameters_of_nonsense_are_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (name, values) in [
        ("limit", &["0", "-1", "1001", "1e9", "abc", ""][..]),
        ("kind", &["abc", "", "MD5"]),
        ("status", &["abc", "", "done"]),
        ("after", &["abc", "", "1", "%00"]),
    ] {
        for value in values {
            let answer = stack.get(&format!("/api/v1/tasks?{name}={value}")).await;
            let problem = answer.problem(400, "invalid-parameter");
            assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
        }
    }
}

fn ids_of(tasks: &[Value]) -> Vec<String> {
    tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

/// Ids are in the order of the milliseconds they were made in; within one it is chance.
async fn another_millisecond() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
    let before = now();
    eventually("another millisecond", async || if now() > before { Ok(()) } else { Err(before) }).await;
}

#[apply(both_stacks)]
async fn filters_go_together_and_say_how_many_tasks_there_are(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut done = Vec::new();
    for text in ["1", "2", "3"] {
        let id = stack.put(text).await;
        done.insert(0, stack.until(&id, "succeeded").await);
        another_millisecond().await;
    }
    let text = |task: &Value, field: &str| task[field].as_str().unwrap().to_owned();
    let ids: Vec<String> = done.iter().map(|task| text(task, "id")).collect();
    let oldest_first: Vec<String> = ids.iter().rev().cloned().collect();
    let (created, finished) = (text(&done[1], "created"), text(&done[1], "finished"));

    for (query, expected) in [
        ("kind=md5,table&status=succeeded,failed", &ids[..]),
        ("kind=message,table", &[]),
        ("order=oldest", &oldest_first),
        (&format!("created_after={created}"), &ids[..2]),
        (&format!("created_before={created}&kind=md5"), &ids[2..]),
        (&format!("finished_after={finished}&status=succeeded"), &ids[..2]),
        (&format!("finished_after={finished}&order=oldest"), &oldest_first[1..]),
        (&format!("finished_before={finished}"), &ids[2..]),
        ("error_code=worker-lost", &[]),
        ("worker=0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d&status=running", &[]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(ids_of(&stack.tasks(&format!("{query}&limit={limit}")).await), expected, "{query}");
        }
        let page = stack.get(&format!("/api/v1/tasks?{query}&total=true&limit=1")).await.json();
        assert_eq!(page["total"], expected.len(), "{query}");
        assert_eq!(page.get("total_at_least"), Some(&Value::Null), "{query}");
    }
    let named = format!("filename={}", done[0]["input"]["filename"].as_str().unwrap());
    assert_eq!(ids_of(&stack.tasks(&named).await), ids);
    let page = stack.get("/api/v1/tasks?total=false").await.json();
    assert_eq!((page.get("total"), page.get("total_at_least")), (None, None));
    let refused = stack.get("/api/v1/tasks?filename=a&finished_after=2026-01-02").await;
    let detail = refused.problem(422, "unserved-filter")["detail"].to_string();
    assert!(detail.contains("`kind`, `status`, `owner`") && detail.contains("`worker`"), "{detail}");
}
