//! Retention: what ended long ago is deleted, a failed task can be done again while its upload is kept, and one task can be deleted alone.

use std::fs;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;
use test_kit::eventually;

use crate::kit::client::{accepted, ask};
use crate::kit::content::{md5sum, noise};
use crate::kit::people::{SECRET, as_bearer};
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks};

impl Stack {
    async fn retry_task(&self, id: &str) -> crate::kit::client::Answer {
        self.ask(Method::POST, &format!("/api/v1/tasks/{id}/retry")).await
    }

    async fn purge(&self, id: &str) -> crate::kit::client::Answer {
        self.ask(Method::DELETE, &format!("/api/v1/tasks/{id}?purge=true")).await
    }

    async fn until_gone(&self, id: &str) {
        eventually("the task is gone", async || {
            let answer = self.get(&format!("/api/v1/tasks/{id}")).await;
            if answer.status == 404 {
                Ok(answer.problem(404, "task-not-found"))
            } else {
                Err(answer.text().to_owned())
            }
        })
        .await;
    }
}

#[apply(both_stacks)]
async fn ended_tasks_are_deleted_after_their_time_and_their_lines_stay(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let (small, large) = (stack.put("abc").await, stack.put(noise(1, 100_000)).await);
    let cancelled = stack.put("abc").await;
    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{cancelled}")).await.status, 200);
    held.release();
    for id in [&small, &large] {
        stack.until(id, "succeeded").await;
    }
    stack.kill();

    stack.start_with(&[("KEEP_SUCCEEDED", "1s"), ("SWEEP_SECONDS", "0.2")]).await;

    let expected = json!({"succeeded": 1.0, "failed": null, "cancelled": null, "records": null});
    assert_eq!(stack.get("/readyz").await.json()["retention"], expected);
    for id in [&small, &large, &stack.put("abc").await] {
        stack.until_gone(id).await;
        assert_eq!(stack.log_lines(id).await.len(), 1);
    }
    assert_eq!(stack.task(&cancelled).await["status"], "cancelled");
    stack.get("/api/v1/outcomes?after=0-0").await.problem(410, "outcome-expired");
    assert_eq!(stack.get("/api/v1/outcomes").await.status, 200);
    stack.verify_finds(&[], "lines of tasks that were deleted since").await;
}

#[apply(both_stacks)]
async fn a_failed_task_is_done_again_as_a_new_one_while_its_upload_is_kept(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let content = noise(7, 100_000);
    let failed = stack.fail_for_want_of_uploads(vec![content.clone()]).await.remove(0);
    let id = failed["id"].as_str().unwrap();

    let answer = stack.retry_task(id).await;
    let again = accepted(&answer);

    assert_eq!(answer.header("location"), format!("/api/v1/tasks/{again}"));
    assert_eq!((&answer.json()["retried_from"], &answer.json()["input"]), (&failed["id"], &failed["input"]));
    let done = stack.until(&again, "succeeded").await;
    assert_eq!(done["result"]["md5"], md5sum(&content));
    assert_eq!(stack.task(id).await, failed, "an ended task never changes");

    // Under a key it is done again once.
    let keyed =
        || stack.request(Method::POST, &format!("/api/v1/tasks/{id}/retry")).header("Idempotency-Key", "k");
    let (first, second) = (ask(keyed()).await.unwrap(), ask(keyed()).await.unwrap());
    assert_eq!(accepted(&first), accepted(&second));
    stack.until(&accepted(&first), "succeeded").await;

    // Its upload may go; so does what a task has that ended well.
    fs::remove_file(stack.blob(id).unwrap()).unwrap();
    stack.retry_task(id).await.problem(409, "upload-gone");
    stack.retry_task(&again).await.problem(409, "upload-gone");
    let held = stack.hold_worker().await;
    stack.retry_task(&held.id).await.problem(409, "task-not-ended");
    held.release();
    stack.retry_task("0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d").await.problem(404, "task-not-found");
    stack.retry_task("abc").await.problem(400, "invalid-id");
}

#[apply(both_stacks)]
async fn the_upload_of_a_failed_task_goes_after_its_time(setup: Setup) {
    let stack =
        setup.start(&[("WORKERS", "1"), ("KEEP_FAILED_UPLOADS", "1s"), ("SWEEP_SECONDS", "0.2")]).await;
    let failed = stack.fail_for_want_of_uploads(vec![noise(7, 100_000)]).await.remove(0);

    stack.until_no_blobs().await;

    let id = failed["id"].as_str().unwrap();
    stack.retry_task(id).await.problem(409, "upload-gone");
    assert_eq!(stack.task(id).await, failed);
}

#[apply(both_stacks)]
async fn a_task_that_has_ended_is_deleted_at_once_if_that_is_asked(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let before = stack.put("abc").await;
    stack.until(&before, "succeeded").await;
    let held = stack.hold_worker().await;
    let waits = stack.put("abc").await;
    for id in [&held.id, &waits] {
        stack.purge(id).await.problem(409, "task-not-ended");
    }
    stack
        .ask(Method::DELETE, &format!("/api/v1/tasks/{before}?purge=x"))
        .await
        .problem(400, "invalid-parameter");

    let gone = stack.purge(&before).await;

    assert_eq!(gone.status, 204);
    stack.purge(&before).await.problem(404, "task-not-found");
    stack.get(&format!("/api/v1/md5/{before}")).await.problem(404, "task-not-found");
    assert_eq!(stack.log_lines(&before).await.len(), 1);
    let id = held.id.clone();
    held.release();
    for id in [&id, &waits] {
        stack.until(id, "succeeded").await;
    }
    let outcomes = stack.get("/api/v1/outcomes").await.json();
    let left: Vec<&str> = outcomes["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| outcome["id"].as_str().unwrap())
        .collect();
    assert!(!left.contains(&&*before) && left.contains(&&*waits), "{left:?}");
    stack.verify_finds(&[], "1 line of tasks that were deleted since").await;
}

#[apply(both_stacks)]
async fn another_users_task_is_neither_done_again_nor_deleted(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required"), ("JWT_SECRET", SECRET)]).await;
    stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob) = (stack.log_in("ada").await, stack.log_in("bob").await);
    let upload = as_bearer(stack.put_request("a.txt", "abc"), &ada);
    let id = accepted(&ask(upload).await.unwrap());
    assert_eq!(stack.until_ended_as(&ada, &id).await["status"], "succeeded");

    let (retry, purge) = (format!("/api/v1/tasks/{id}/retry"), format!("/api/v1/tasks/{id}?purge=true"));
    stack.ask_as(&bob, Method::POST, &retry).await.problem(404, "task-not-found");
    stack.ask_as(&bob, Method::DELETE, &purge).await.problem(404, "task-not-found");
    assert_eq!(stack.ask_as(&ada, Method::DELETE, &purge).await.status, 204);
}

#[apply(both_stacks)]
async fn a_log_written_anew_says_what_it_lacks(setup: Setup) {
    let stack = setup.start(&[("KEEP_SUCCEEDED", "1s"), ("SWEEP_SECONDS", "0.2")]).await;
    let id = stack.put("abc").await;
    stack.until_gone(&id).await;

    let done = output(stack.command(&["verify", "--rebuild", "anew.log"])).await;

    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("tasks that were deleted are not in it"), "{text}");
}
