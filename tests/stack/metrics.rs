//! Metrics for an operator's Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;
use test_kit::eventually;

use crate::kit::client::ask;
use crate::kit::content::noise;
use crate::kit::program::stderr_of;
use crate::kit::stack::{Running, Setup, Stack, both_stacks, own_host};

#[apply(both_stacks)]
async fn metrics_tell_what_happens_to_promises(setup: Setup) {
    let stack = setup.start(&[]).await;
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
        "coatcheck_paused{kind=\"md5\"} 0",
        "coatcheck_queue_up 1",
        "coatcheck_answer_seconds_count 1",
        "# HELP coatcheck_database_connections",
        concat!("coatcheck_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "coatcheck_http_requests_total{method=\"PUT\",route=\"/api/v1/md5/{id}\",status=\"202\"} 1",
        "# TYPE process_cpu_seconds_total counter",
        "# HELP coatcheck_log_behind_seconds",
        "# HELP coatcheck_database_bytes",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
}

/// How often each status has ended a task, as all processes together have counted it.
async fn ended(stack: &Stack, worker: &str) -> [u64; 3] {
    let mut counts = [0; 3];
    let worker = format!("http://{worker}/metrics");
    let processes = if stack.is_distributed() {
        vec![stack.url("/metrics"), worker]
    } else {
        vec![stack.url("/metrics")]
    };
    for url in processes {
        let told = ask(stack.http.get(url)).await.unwrap();
        for (count, status) in counts.iter_mut().zip(ENDS) {
            let begin = format!("coatcheck_tasks_ended_total{{kind=\"md5\",status=\"{status}\"}} ");
            let number = told.text().lines().find_map(|line| line.strip_prefix(&begin));
            *count += number.unwrap_or_else(|| panic!("no {begin}")).parse::<u64>().unwrap();
        }
        for kind in ["message", "table"] {
            let line = format!("coatcheck_tasks_ended_total{{kind=\"{kind}\",status=\"failed\"}} 0");
            assert!(told.text().contains(&line), "{line}");
        }
    }
    counts
}

const ENDS: [&str; 3] = ["succeeded", "failed", "cancelled"];

/// By what a result, a charged try, a wish and a lost worker make of tasks, each end is counted once, and the log says why a task
/// has failed.
async fn counts_each_end(stack: &Arc<Stack>, worker: &str) {
    let are = async |expected: [u64; 3]| {
        eventually("the count of ends", async || {
            let counted = ended(stack, worker).await;
            if counted == expected { Ok(()) } else { Err((counted, expected)) }
        })
        .await;
    };
    let count = async || {
        let tasks = stack.tasks("limit=1000").await;
        ENDS.map(|status| tasks.iter().filter(|task| task["status"] == status).count() as u64)
    };
    are([0; 3]).await;

    // A pending one is cancelled at once; one whose upload is not there uses up its one try.
    let held = stack.hold_worker().await;
    let failing = stack.put(noise(7, 100_000)).await;
    fs::remove_file(stack.blob(&failing).unwrap()).unwrap();
    let unwanted = stack.put("unwanted").await;
    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{unwanted}")).await.status, 200);
    let succeeding = held.id.clone();
    held.release();
    stack.until(&succeeding, "succeeded").await;
    assert_eq!(stack.until(&failing, "failed").await["error"]["code"], "blob-missing");
    // A running one is cancelled when its worker hears of it.
    let mut held = stack.hold_worker().await;
    let running = held.id.clone();
    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{running}")).await.status, 200);
    eventually("the end of a cancelled task", async || {
        held.drip();
        let task = stack.task(&running).await;
        if task["status"] == "cancelled" { Ok(()) } else { Err(task) }
    })
    .await;
    drop(held);
    let counts = count().await;
    assert!(counts[1] >= 1 && counts[2] == 2, "{counts:?}");
    are(counts).await;
    says_once(stack, &failing, "failed in attempt 1: blob-missing: ");

    // One that has lost its worker; those that come after count from zero again.
    let held = stack.hold_worker().await;
    let before = count().await;
    stack.kill();
    let lost = held.abandon();
    stack.start().await;
    assert_eq!(stack.until(&lost, "failed").await["error"]["code"], "worker-lost");
    let attempts = stack.get(&format!("/api/v1/tasks/{lost}/attempts")).await.json();
    let [attempt] = attempts["attempts"].as_array().unwrap().as_slice() else { panic!("{attempts}") };
    assert_eq!((&attempt["number"], &attempt["error"]["code"]), (&json!(1), &json!("worker-lost")));
    assert!(attempt["worker"].is_string() && attempt["ended"].is_string(), "{attempts}");
    let after = count().await;
    are([0, 1, 2].map(|at| after[at] - before[at])).await;
    says_once(stack, &lost, "failed in attempt 1: worker-lost: ");
}

fn says_once(stack: &Stack, id: &str, words: &str) {
    let told = |process| fs::read_to_string(stderr_of(&stack.process_folder(process))).unwrap();
    let told: String = (0..stack.processes()).map(told).collect();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(&format!("task.id={id}"))).collect();
    let says = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!((says(&format!("task {words}")), says("task is tried again")), (1, 0), "{words}: {told}");
}

const ONE_TRY: [(&str, &str); 2] = [("WORKERS", "1"), ("MAX_ATTEMPTS", "1")];

#[tokio::test]
async fn each_end_is_counted_and_told_once_embedded() {
    let stack = Running::of(Stack::embedded(&ONE_TRY)).await;
    counts_each_end(&stack, "").await;
}

#[tokio::test]
async fn each_end_is_counted_and_told_once_distributed() {
    let worker = format!("{}:9100", own_host());
    let settings = [&ONE_TRY[..], &[("METRICS_LISTEN", &*worker)]].concat();
    let stack = Running::of(Stack::distributed(&settings)).await;
    counts_each_end(&stack, &worker).await;
}

#[test]
fn operators_are_told_what_to_do_about_each_metric() {
    let metrics = metrics_named_in("task-data/src/metrics.rs");

    assert!(metrics.len() > 15, "{metrics:?}");
    let page = text_of("docs/reference/metrics.md");
    let (_, told) = page.split_once("\n## When a metric is off\n").expect("the section");
    let untold: Vec<&String> = metrics.iter().filter(|name| !told.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "{untold:?}");
    // A histogram has its name in three parts.
    let alerts = metrics_named_in("deployment/alerts.yml");
    let unknown = alerts.iter().find(|name| !metrics.contains(name.trim_end_matches("_bucket")));
    assert_eq!(unknown, None, "an alert on what nobody tells");
}

fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Every `coatcheck_…` in one of our files.
fn metrics_named_in(path: &str) -> BTreeSet<String> {
    text_of(path)
        .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.len() > "coatcheck_".len() && word.starts_with("coatcheck_"))
        .map(str::to_owned)
        .collect()
}
