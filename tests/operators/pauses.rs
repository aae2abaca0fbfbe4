//! Pauses of a kind: exact, kept over restarts, and without a loss.

use std::collections::BTreeMap;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::client::{Answer, ask};
use crate::kit::load::Load;
use crate::kit::stack::{Setup, Stack, both_stacks};

const PAUSE: &str = "/api/v1/kinds/md5/pause";

impl Stack {
    /// Pauses or resumes md5 tasks at the API of that address.
    async fn pause_at(&self, address: &str, method: Method) -> Value {
        let answer = ask(self.http.request(method, format!("http://{address}{PAUSE}"))).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    async fn pause(&self) -> Value {
        self.pause_at(&self.address(), Method::PUT).await
    }

    async fn resume(&self) -> Value {
        self.pause_at(&self.address(), Method::DELETE).await
    }

    /// Returns the tasks that have begun, and when their last attempts did.
    async fn begun(&self) -> BTreeMap<String, String> {
        let word = |task: &Value, field: &str| task[field].as_str().map(str::to_owned);
        let tasks = self.tasks("limit=1000").await;
        tasks.iter().filter_map(|task| Some((word(task, "id")?, word(task, "started")?))).collect()
    }

    /// Returns the kind as it is listed.
    async fn kind(&self, name: &str) -> Value {
        let kinds = self.get("/api/v1/kinds").await.json()["kinds"].clone();
        kinds.as_array().unwrap().iter().find(|kind| kind["kind"] == name).unwrap().clone()
    }

    /// Waits until the queue has that many messages of md5 tasks that no worker holds.
    pub async fn until_queued(&self, messages: usize) {
        let line = format!("coatcheck_queue_messages{{kind=\"md5\"}} {messages}");
        eventually(&line, async || {
            let metrics = self.get("/metrics").await;
            if metrics.text().lines().any(|found| found == line) { Ok(()) } else { Err(metrics) }
        })
        .await;
    }
}

#[apply(both_stacks)]
async fn under_load_no_task_begins_after_a_pause_is_answered_and_each_is_done_once_after_it(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut others = Vec::new();
    let mut apis = vec![stack.address()];
    if stack.is_distributed() {
        others.push(stack.extra(&["worker"], &[]));
        let mut api = stack.extra(&["api"], &[]);
        apis.push(api.address().await);
        others.push(api);
    }
    let load = Load::start(&stack, 4);

    let mut answers = apis.iter().cycle();
    let mut api = || answers.next().unwrap();
    for _ in 0..6 {
        load.promises(10).await;
        let since = stack.pause_at(api(), Method::PUT).await["since"].as_str().unwrap().to_owned();
        // The answer is about commits: from now on no further beginning may be seen, whatever its time is.
        let before = stack.begun().await;
        // Accepted meanwhile.
        load.promises(20).await;
        let after = stack.begun().await;
        let late: Vec<_> = after.iter().filter(|(_, started)| **started > since).collect();
        assert!(late.is_empty(), "paused since {since}: {late:#?}");
        assert_eq!(before, after, "paused since {since}");
        stack.pause_at(api(), Method::DELETE).await;
    }

    stack.are_kept(&load.end().await).await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn tasks_of_a_paused_kind_wait_in_the_queue_and_not_at_a_worker(setup: Setup) {
    let stack = setup.start(&[]).await;
    let before = stack.put("before").await;
    stack.until(&before, "succeeded").await;
    stack.pause().await;

    let (mut ids, large) = (Vec::new(), vec![7; 100_000]);
    for _ in 0..5 {
        ids.push(stack.put("small").await);
        ids.push(stack.put(large.clone()).await);
    }
    stack.until_queued(ids.len()).await;

    for id in &ids {
        let task = stack.task(id).await;
        assert_eq!((&task["status"], &task["attempt"]), (&json!("pending"), &json!(0)));
    }
    stack.resume().await;
    for id in &ids {
        assert_eq!(stack.until(id, "succeeded").await["attempt"], 1);
    }
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn all_else_goes_on_in_a_pause(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let running = held.id.clone();
    stack.pause().await;

    let (waits, unwanted) = (stack.put("waits").await, stack.put("unwanted").await);
    held.release();

    stack.until(&running, "succeeded").await;
    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{unwanted}")).await.status, 200);
    stack.until(&unwanted, "cancelled").await;
    assert_eq!(stack.get("/readyz").await.status, 200);
    assert_eq!(stack.task(&waits).await["status"], "pending");
    stack.resume().await;
    stack.until(&waits, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn a_pause_outlives_every_process(setup: Setup) {
    let stack = setup.start(&[]).await;
    let paused = stack.pause().await;
    let id = stack.put("abc").await;

    stack.kill();
    stack.start().await;
    stack.until_queued(1).await;

    let kind = stack.kind("md5").await;
    assert_eq!((&kind["paused"], &kind["since"]), (&json!(true), &paused["since"]));
    assert_eq!(stack.task(&id).await["attempt"], 0);
    stack.resume().await;
    stack.until(&id, "succeeded").await;
}

#[apply(both_stacks)]
async fn pausing_twice_and_resuming_twice_change_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    assert_eq!(stack.resume().await, json!({"kind": "md5", "paused": false, "since": null}));

    let first = stack.pause().await;

    assert_eq!((&first["kind"], &first["paused"]), (&json!("md5"), &json!(true)));
    assert_eq!(stack.pause().await, first);
    stack.resume().await;
    assert_eq!(stack.resume().await, json!({"kind": "md5", "paused": false, "since": null}));
    let metric = |answer: Answer| answer.text().contains("coatcheck_paused{kind=\"md5\"} 0\n");
    assert!(metric(stack.get("/metrics").await));
}

#[apply(both_stacks)]
async fn kinds_are_listed_with_their_pauses_and_what_waits(setup: Setup) {
    let stack = setup.start(&[]).await;
    let since = stack.pause().await["since"].clone();
    let id = stack.put("abc").await;
    stack.put("abd").await;
    let oldest = stack.task(&id).await["created"].clone();

    let listed = eventually("both tasks are counted", async || {
        let kind = stack.kind("md5").await;
        if kind["pending"] == 2 { Ok(kind) } else { Err(kind) }
    });

    let expected =
        json!({"kind": "md5", "paused": true, "since": since, "pending": 2, "running": 0, "oldest": oldest});
    assert_eq!(listed.await, expected);
    assert_eq!(stack.get("/api/v1/scale/md5").await.json(), json!({"value": 2}));
    assert_eq!(stack.get("/api/v1/scale/table").await.json(), json!({"value": 0}));
    let idle =
        json!({"kind": "table", "paused": false, "since": null, "pending": 0, "running": 0, "oldest": null});
    assert_eq!(stack.kind("table").await, idle);
    assert!(stack.get("/metrics").await.text().contains("coatcheck_paused{kind=\"md5\"} 1\n"));
}

#[apply(both_stacks)]
async fn a_kind_that_does_not_exist_is_neither_paused_nor_counted(setup: Setup) {
    let stack = setup.start(&[]).await;
    for kind in ["sha1", "MD5", "%20", "md5%00"] {
        let pause = format!("/api/v1/kinds/{kind}/pause");
        for (method, path) in [
            (Method::PUT, pause.clone()),
            (Method::DELETE, pause),
            (Method::GET, format!("/api/v1/scale/{kind}")),
        ] {
            stack.ask(method, &path).await.problem(404, "not-found");
        }
    }
}
