//! A ticket is redeemed at any time: at once, or as soon as there is something to give. What it never leads to: nothing.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;

use crate::kit::client::ask;
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn a_wait_is_answered_when_the_task_has_ended(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let path = format!("/api/v1/md5/{}", held.id);

    let waits = [
        stack.http.get(stack.url(&format!("{path}?wait=60"))),
        stack.http.get(stack.url(&path)).header("Prefer", "wait=60"),
        stack.http.get(stack.url(&format!("/api/v1/tasks/{}?wait=60", held.id))),
    ]
    .map(|request| tokio::spawn(ask(request)));
    // Asked without patience it tells what it is; the others are waiting by now.
    assert_eq!(stack.get(&format!("{path}?wait=0")).await.json()["status"], "running");
    held.release();

    for wait in waits {
        assert_eq!(wait.await.unwrap().unwrap().json()["status"], "succeeded");
    }
}

#[apply(both_stacks)]
async fn a_wait_that_is_over_tells_what_the_task_is_then(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put("abc").await;

    for (id, status) in [(&held.id, "running"), (&waiting, "pending")] {
        for wait in ["", "?wait=0", "?wait=0.2", "?wait=1"] {
            let task = stack.get(&format!("/api/v1/md5/{id}{wait}")).await.json();
            assert_eq!(task["status"], status, "{wait}");
        }
    }

    held.release();
    stack.until(&waiting, "succeeded").await;
}

#[apply(both_stacks)]
async fn a_wait_of_nonsense_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    for wait in ["-1", "61", "60.5", "abc", "", "1e1", "NaN", "inf", "1s"] {
        for path in ["md5", "tasks"] {
            let answer = stack.get(&format!("/api/v1/{path}/{id}?wait={wait}")).await;
            let problem = answer.problem(400, "invalid-parameter");
            assert!(problem["detail"].as_str().unwrap().contains("wait"), "{problem}");
        }
    }
}

#[apply(both_stacks)]
async fn an_unknown_ticket_is_never_pending(setup: Setup) {
    let stack = setup.start(&[]).await;
    for id in ["00000000-0000-0000-0000-000000000000", "0198c0de-0000-7000-8000-000000000000"] {
        for path in ["md5", "tasks"] {
            stack.get(&format!("/api/v1/{path}/{id}")).await.problem(404, "task-not-found");
            stack.get(&format!("/api/v1/{path}/{id}?wait=60")).await.problem(404, "task-not-found");
        }
        stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.problem(404, "task-not-found");
    }
}

#[apply(both_stacks)]
async fn what_is_no_id_is_refused_as_such(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let bare = id.replace('-', "");
    let z = "z".repeat(36);
    for garbage in [
        "abc",
        "1",
        &z,
        &bare,
        &format!("%7B{id}%7D"),
        &format!("{id}%20"),
        "'%20OR%201=1--",
        "%00",
        "..%2F",
        "%ff",
    ] {
        for path in ["md5", "tasks"] {
            stack.get(&format!("/api/v1/{path}/{garbage}")).await.problem(400, "invalid-id");
        }
        stack.ask(Method::DELETE, &format!("/api/v1/tasks/{garbage}")).await.problem(400, "invalid-id");
    }
    let upper_case = stack.get(&format!("/api/v1/md5/{}", id.to_uppercase())).await;
    assert_eq!(upper_case.json()["id"], id);
}

#[apply(both_stacks)]
async fn what_has_not_ended_can_be_cancelled(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let small = stack.put("abc").await;
    let large = stack.put(vec![7; 100_000]).await;

    for id in [&small, &large] {
        let answer = stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("cancelled")));
    }
    held.release();

    for id in [&small, &large] {
        let task = stack.until(id, "cancelled").await;
        assert_eq!((&task["result"], &task["error"]["code"]), (&json!(null), &json!("cancelled")));
        assert_eq!(task["attempt"], 0);
        assert!(stack.log_lines(id).await[0].ends_with(" md5 cancelled -"));
    }
    stack.each_task_has_one_line(&[]).await;
    stack.until_no_blobs().await;
}

#[apply(both_stacks)]
async fn what_runs_can_be_cancelled_and_the_first_end_is_the_end(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = held.id.clone();

    let answer = stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)));
    held.release();

    stack.each_task_has_one_line(&[]).await;
    let task = stack.task(&id).await;
    assert!(task["status"] == "cancelled" || task["status"] == "succeeded", "{task}");
    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.problem(409, "task-ended");
    assert_eq!(stack.task(&id).await, task);
}

#[apply(both_stacks)]
async fn what_has_ended_can_not_be_cancelled(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let task = stack.until(&id, "succeeded").await;

    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.problem(409, "task-ended");

    assert_eq!(stack.task(&id).await, task);
}
