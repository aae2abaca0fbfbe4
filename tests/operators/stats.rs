//! Statistics over time: exact, whatever crashes.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::load::Load;
use crate::kit::stack::{Setup, Stack, both_stacks};

const NUMBERS: [&str; 4] = ["accepted", "succeeded", "failed", "cancelled"];

impl Stack {
    /// Waits until the last hour has these numbers of md5 tasks: accepted, succeeded, failed, cancelled.
    async fn until_counted(&self, expected: [u64; 4]) -> Vec<Value> {
        eventually(&format!("{expected:?} are counted"), async || {
            let series = self.get("/api/v1/stats").await.json()["series"].as_array().unwrap().clone();
            let of_kind = series.iter().filter(|point| point["kind"] == "md5");
            let sums = of_kind.fold([0; 4], |sums: [u64; 4], point| {
                let number = |at: usize| sums[at] + point[NUMBERS[at]].as_u64().unwrap();
                [number(0), number(1), number(2), number(3)]
            });
            if sums == expected { Ok(series) } else { Err(sums) }
        })
        .await
    }
}

#[apply(both_stacks)]
async fn tasks_are_counted_where_they_were_accepted_and_where_they_ended(setup: Setup) {
    let stack = setup.start(&[]).await;
    for bytes in [3, 100_000] {
        let id = stack.put(vec![7; bytes]).await;
        stack.until(&id, "succeeded").await;
    }
    stack.until_counted([2, 2, 0, 0]).await;
    stack.ask(Method::PUT, "/api/v1/kinds/md5/pause").await;
    let unwanted = stack.put("unwanted").await;
    stack.put("waits").await;
    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{unwanted}")).await;

    let series = stack.until_counted([4, 2, 0, 1]).await;

    assert!(series.iter().all(|point| point["at"].as_str().unwrap().ends_with(":00.000000Z")), "{series:?}");
    for point in series.iter().filter(|point| point["succeeded"] != 0) {
        let [waited, waited_most] = ["wait_p50", "wait_p95"].map(|name| point[name].as_f64().unwrap());
        assert!(0.0 < waited && waited <= waited_most, "{point}");
        assert!(point["work_p50"].as_f64().unwrap() <= point["work_p95"].as_f64().unwrap(), "{point}");
    }
    let day = stack.get("/api/v1/stats?step=86400").await.json()["series"].clone();
    let accepted: u64 = day.as_array().unwrap().iter().map(|point| point["accepted"].as_u64().unwrap()).sum();
    assert_eq!(accepted, 4);
    let past = stack.get("/api/v1/stats?from=2020-01-01&to=2020-01-01").await.json();
    assert_eq!(past, json!({"series": []}));
}

#[apply(both_stacks)]
async fn each_task_is_counted_once_though_processes_are_killed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let load = Load::start(&stack, 4);
    for _ in 0..3 {
        load.promises(15).await;
        stack.kill();
        stack.start().await;
    }
    load.end().await;
    let tasks = stack.each_task_has_one_line(&[]).await.len() as u64;

    stack.until_counted([tasks, tasks, 0, 0]).await;
    stack.kill();
    stack.start().await;

    stack.until_counted([tasks, tasks, 0, 0]).await;
}
