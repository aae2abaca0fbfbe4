//! Many tasks at once: counted first, then cancelled, retried or deleted by a task that survives crashes.

use nix::sys::signal::Signal;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::client::{Answer, accepted};
use crate::kit::content::noise;
use crate::kit::outcomes::line;
use crate::kit::people::SECRET;
use crate::kit::stack::{Setup, Stack, both_stacks};

const BULK: &str = "/api/v1/tasks/bulk";

impl Stack {
    async fn bulk(&self, body: &Value) -> Answer {
        self.post_json(BULK, body).await
    }

    /// Counts the tasks of an act.
    async fn eligible(&self, action: &str, filter: &Value) -> (i64, Value) {
        let mut body = json!({"action": action, "filter": filter});
        let answer = self.bulk(&body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let counted = answer.json();
        body["confirm"] = counted["confirm"].clone();
        (counted["eligible"].as_i64().unwrap(), body)
    }
}

#[apply(both_stacks)]
async fn what_failed_is_counted_and_retried_by_one_act(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1"), ("MAX_ATTEMPTS", "1")]).await;
    let contents = (0..14).map(|number| noise(number, 20_000)).collect();
    let mut failed = stack.fail_for_want_of_uploads(contents).await;
    for lost in failed.split_off(12) {
        std::fs::remove_file(stack.blob(lost["id"].as_str().unwrap()).unwrap()).unwrap();
    }
    let filter = json!({"status": "failed", "error_code": "blob-missing"});

    let (eligible, confirmed) = stack.eligible("retry", &filter).await;
    assert_eq!(eligible, 14);
    assert_eq!(stack.tasks("kind=bulk").await.len(), 0, "nothing is changed before it is confirmed");
    let answer = stack.bulk(&confirmed).await;
    let id = accepted(&answer);
    assert_eq!(answer.json()["kind"], "bulk");
    // An answer that was lost is asked for again.
    assert_eq!(accepted(&stack.bulk(&confirmed).await), id);

    let done = stack.until(&id, "succeeded").await;
    assert_eq!(done["result"], json!({"affected": 12, "skipped": 2}), "of two no upload is left");
    assert_eq!(stack.log_lines(&id).await, [line(&done)]);
    let again = eventually("all are done again", async || {
        let tasks = stack.tasks("status=succeeded&kind=md5&limit=1000").await;
        let again: Vec<Value> = tasks.into_iter().filter(|task| !task["retried_from"].is_null()).collect();
        if again.len() == 12 { Ok(again) } else { Err(again.len()) }
    })
    .await;
    let mut from: Vec<&str> = again.iter().map(|task| task["retried_from"].as_str().unwrap()).collect();
    from.sort_unstable();
    let mut expected: Vec<&str> = failed.iter().map(|task| task["id"].as_str().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(from, expected);
}

#[apply(both_stacks)]
async fn an_act_that_is_killed_goes_on_and_counts_each_task_once(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1"), ("LEASE_SECONDS", "2")]).await;
    for _ in 0..4 {
        let puts = (0..100).map(|_| stack.put("abc"));
        futures::future::join_all(puts).await;
    }
    eventually("all have ended", async || {
        let answer = stack.get("/api/v1/tasks?status=succeeded&total=true&limit=1").await.json();
        if answer["total"] == 400 { Ok(()) } else { Err(answer) }
    })
    .await;
    let (eligible, confirmed) =
        stack.eligible("purge", &json!({"kind": ["md5"], "status": ["succeeded", "failed"]})).await;
    assert_eq!(eligible, 400);
    let later = stack.put("abc").await;
    stack.until(&later, "succeeded").await;

    let id = accepted(&stack.bulk(&confirmed).await);
    eventually("some are gone", async || {
        let answer = stack.get("/api/v1/tasks?status=succeeded&kind=md5&total=true&limit=1").await.json();
        if answer["total"].as_i64().unwrap() < 401 { Ok(()) } else { Err(answer) }
    })
    .await;
    stack.signal(Signal::SIGKILL);
    stack.kill();
    stack.start().await;

    let done = stack.until(&id, "succeeded").await;
    assert_eq!(done["result"], json!({"affected": 400}));
    let left = stack.tasks("kind=md5").await;
    assert_eq!(left.len(), 1, "one that was created after the count stays");
    assert_eq!(left[0]["id"], later);
    stack.verify_finds(&[], "400 lines of tasks that were deleted since").await;
}

#[apply(both_stacks)]
async fn pending_tasks_are_cancelled_together(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.ask(Method::PUT, "/api/v1/kinds/md5/pause").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stack.put("abc").await);
    }
    let (eligible, confirmed) = stack.eligible("cancel", &json!({"kind": "md5"})).await;
    assert_eq!(eligible, 5);

    let id = accepted(&stack.bulk(&confirmed).await);

    let done = stack.until(&id, "succeeded").await;
    assert_eq!(done["result"], json!({"affected": 5}));
    for id in &ids {
        assert_eq!(stack.task(id).await["status"], "cancelled");
    }
}

/// To an act and a filter that have no status in common belongs no task, not each.
#[apply(both_stacks)]
async fn an_act_changes_only_tasks_with_the_statuses_of_its_filter(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1"), ("MAX_ATTEMPTS", "1")]).await;
    stack.fail_for_want_of_uploads(vec![noise(1, 20_000)]).await;
    let succeeded = stack.put("abc").await;
    stack.until(&succeeded, "succeeded").await;
    stack.ask(Method::PUT, "/api/v1/kinds/md5/pause").await;
    let cancelled = stack.put("abc").await;
    stack.ask(Method::DELETE, &format!("/api/v1/tasks/{cancelled}")).await;
    stack.put("abc").await;
    let before = stack.tasks("kind=md5").await;

    let statuses = ["pending", "running", "succeeded", "failed", "cancelled"];
    for (action, of) in [("cancel", &statuses[..1]), ("retry", &statuses[3..]), ("purge", &statuses[2..])] {
        for status in statuses {
            let filter = json!({"status": status, "kind": "md5"});
            if action == "purge" && !of.contains(&status) {
                stack.bulk(&json!({"action": action, "filter": filter})).await.problem(409, "task-not-ended");
                continue;
            }
            let (eligible, confirmed) = stack.eligible(action, &filter).await;
            let expected = before.iter().filter(|task| of.contains(&status) && task["status"] == status);
            assert_eq!(eligible, expected.count() as i64, "{action} {status}");
            if !of.contains(&status) {
                let id = accepted(&stack.bulk(&confirmed).await);
                assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"affected": 0}));
            }
        }
    }
    assert_eq!(stack.tasks("kind=md5").await, before);
}

#[apply(both_stacks)]
async fn what_is_not_asked_well_changes_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    for (body, status, code) in [
        (json!({"action": "purge"}), 400, "invalid-json"),
        (json!({"action": "forget", "filter": {}}), 400, "invalid-json"),
        (json!({"action": "purge", "filter": {}, "more": 1}), 400, "invalid-json"),
        (json!({"action": "purge", "filter": {"limit": "1"}}), 400, "invalid-parameter"),
        (json!({"action": "purge", "filter": {"status": 1}}), 400, "invalid-parameter"),
        (json!({"action": "purge", "filter": {"status": "done"}}), 400, "invalid-parameter"),
        (json!({"action": "purge", "filter": {"status": []}}), 400, "invalid-parameter"),
        (json!({"action": "purge", "filter": {"kind": [""]}}), 400, "invalid-parameter"),
        (json!({"action": "purge", "filter": {"status": "pending"}}), 409, "task-not-ended"),
        (json!({"action": "purge", "filter": {}, "confirm": "abc"}), 409, "confirm-expired"),
    ] {
        let answer = stack.bulk(&body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        answer.problem(status, code);
    }
    // A token is for one act alone, and for an hour.
    let (_, confirmed) = stack.eligible("purge", &json!({"status": "succeeded"})).await;
    for (name, value) in [("action", json!("retry")), ("filter", json!({}))] {
        let mut other = confirmed.clone();
        other[name] = value;
        stack.bulk(&other).await.problem(409, "confirm-expired");
    }
    let mut old = confirmed.clone();
    old["confirm"] = json!(confirmed["confirm"].as_str().unwrap().replacen("1", "0", 1));
    stack.bulk(&old).await.problem(409, "confirm-expired");
    assert_eq!(stack.task(&id).await["status"], "succeeded");
}

#[apply(both_stacks)]
async fn owners_change_their_own_tasks_and_viewers_no_others(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required"), ("JWT_SECRET", SECRET)]).await;
    stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob) = (stack.log_in("ada").await, stack.log_in("bob").await);
    let ask = async |token: &str| {
        let body = json!({"action": "purge", "filter": {"status": "succeeded"}});
        let request = stack.request(Method::POST, BULK).bearer_auth(token).json(&body);
        crate::kit::client::ask(request).await.unwrap()
    };
    let upload = stack.put_request("a.txt", "abc").bearer_auth(&ada);
    let id = accepted(&crate::kit::client::ask(upload).await.unwrap());
    assert_eq!(stack.until_ended_as(&ada, &id).await["status"], "succeeded");

    assert_eq!(ask(&ada).await.json()["eligible"], 1);
    assert_eq!(ask(&bob).await.json()["eligible"], 0);
    let root = stack.admin("root").await;
    assert_eq!(ask(&root).await.json()["eligible"], 1);
    stack.bulk(&json!({"action": "purge", "filter": {}})).await.problem(401, "unauthenticated");
}
