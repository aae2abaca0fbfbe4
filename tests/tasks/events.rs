//! A task's changes, as Server-Sent Events.

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::DEADLINE;
use tokio::time::timeout;

use crate::kit::client::ask;
use crate::kit::stack::{Setup, Stack, both_stacks, distributed};

/// A stream of events that a client reads.
struct Events {
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    unread: String,
}

impl Stack {
    async fn events(&self, id: &str) -> Events {
        self.events_at(&self.address(), id).await
    }

    async fn events_at(&self, address: &str, id: &str) -> Events {
        let url = format!("http://{address}/api/v1/tasks/{id}/events");
        let response = timeout(DEADLINE, self.http.get(url).send()).await.expect("an answer").unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { chunks: response.bytes_stream().boxed(), unread: String::new() }
    }
}

impl Events {
    /// The task that the next event tells of; `None` when the server has ended the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                self.unread = rest.to_owned();
                // A comment has no data.
                if !data.is_empty() {
                    return Some(serde_json::from_str(&data).unwrap());
                }
            }
            let chunk = timeout(DEADLINE, self.chunks.next()).await.expect("an event, or an end")?;
            self.unread.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// All that is still to come.
    async fn rest(mut self) -> Vec<Value> {
        let mut tasks = Vec::new();
        while let Some(task) = self.next().await {
            tasks.push(task);
        }
        tasks
    }
}

fn statuses(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["status"].as_str().unwrap()).collect()
}

#[apply(both_stacks)]
async fn each_change_is_told_and_the_stream_ends_with_the_last_one(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = stack.put("abc").await;
    let mut events = stack.events(&id).await;
    assert_eq!(events.next().await.unwrap()["status"], "pending");

    held.release();
    let rest = events.rest().await;

    // A state that lasts shorter than a look may be missed; those that are seen are in order.
    assert!(matches!(statuses(&rest)[..], ["succeeded"] | ["running", "succeeded"]), "{rest:?}");
    assert_eq!(rest.last(), Some(&stack.task(&id).await));
}

#[apply(both_stacks)]
async fn what_runs_is_told_at_once_and_so_is_its_cancel(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let mut held = stack.hold_worker().await;
    let mut events = stack.events(&held.id).await;
    assert_eq!(events.next().await.unwrap(), stack.task(&held.id).await);

    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{}", held.id)).await;
    // It looks up from its work now and then.
    let dripping = async {
        loop {
            held.drip();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let rest = tokio::select! { rest = events.rest() => rest, () = dripping => unreachable!() };

    assert_eq!(statuses(&rest), ["cancelled"]);
    assert_eq!(rest[0]["error"]["code"], "cancelled");
}

#[apply(both_stacks)]
async fn of_a_task_that_has_ended_there_is_one_event(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let task = stack.until(&id, "succeeded").await;

    assert_eq!(stack.events(&id).await.rest().await, [task]);
}

#[apply(both_stacks)]
async fn an_unknown_task_has_no_events(setup: Setup) {
    let stack = setup.start(&[]).await;
    let unknown = stack.get("/api/v1/tasks/0198c0de-0000-7000-8000-000000000000/events").await;
    unknown.problem(404, "task-not-found");
    stack.get("/api/v1/tasks/abc/events").await.problem(400, "invalid-id");
    stack.ask(Method::POST, "/api/v1/tasks/abc/events").await.problem(405, "method-not-allowed");
}

#[apply(both_stacks)]
async fn a_head_request_for_events_is_answered_at_once(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;

    let answer = stack.ask(Method::HEAD, &format!("/api/v1/tasks/{}/events", held.id)).await;

    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), "text/event-stream");
    held.release();
}

#[apply(both_stacks)]
async fn a_server_that_stops_ends_its_streams(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = stack.put("abc").await;
    let events = stack.events(&id).await;
    held.release();
    stack.until(&id, "succeeded").await;
    let held = stack.hold_worker().await;
    let mut open = stack.events(&held.id).await;
    open.next().await.unwrap();

    stack.signal(nix::sys::signal::Signal::SIGTERM);

    assert_eq!(open.next().await, None);
    assert_eq!(statuses(&events.rest().await).last(), Some(&"succeeded"));
    stack.exit().await;
}

#[apply(distributed)]
async fn a_change_is_told_at_every_api(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let mut second_api = stack.extra(&["api"], &[]);
    let second = second_api.address().await;
    let held = stack.hold_worker().await;
    let (mut here, mut there) = (stack.events(&held.id).await, stack.events_at(&second, &held.id).await);
    assert_eq!(here.next().await, there.next().await);
    let id = held.id.clone();

    held.release();

    let (here, there) = (here.rest().await, there.rest().await);
    assert_eq!(here, there);
    assert_eq!(here, [stack.task(&id).await]);
    let waited = ask(stack.http.get(format!("http://{second}/api/v1/md5/{id}?wait=60"))).await.unwrap();
    assert_eq!(waited.json(), here[0]);
}

#[apply(both_stacks)]
async fn who_has_seen_the_final_event_is_told_not_to_ask_again(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    let events = format!("/api/v1/tasks/{id}/events");
    let told = stack.get(&events).await;
    let last = told.text().lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();

    for (seen, status) in [(last.as_str(), 204), ("0-pending", 200), ("", 200), ("nonsense", 200)] {
        let again = ask(stack.http.get(stack.url(&events)).header("last-event-id", seen)).await.unwrap();
        assert_eq!((again.status, again.body.is_empty()), (status, status == 204), "{seen}");
    }
}
