//! An answer is given only after its commit: a failed commit is an error of each method that writes, and leaves nothing.

use accounts::user::Right;
use task_data::kinds::Kind;
use task_data::store::{
    Feed, Followers, Leases, LogFollower, NewTask, PaidCalls, Pauses, Progress, PruneStep, Retention, Stats,
    Subject, TableRows, Tasks, Upkeep, Workers,
};
use task_data::task::{Status, WorkerId};
use test_kit::Late;

use crate::followers::{NAME, head, log};
use crate::paid_calls::user;
use crate::samples::*;
use crate::small;
use crate::table_rows::{sent, unkept};

/// The methods that only read. Every other one of the ports must be tried here.
const READS: [&str; 38] = [
    "attempts",
    "before_first",
    // It ends connections.
    "close",
    "count",
    "count_on",
    "feed_range",
    "find",
    "free_bytes",
    // It changes no row.
    "give_space_back",
    "holdings",
    "kept_numbers",
    "kept_rows",
    "keyed",
    "last_attempt",
    "list",
    "live_leases",
    "log",
    "log_lags",
    "minutes",
    "newer_kinds",
    "now",
    "outcomes",
    "pauses",
    "pending",
    "progress",
    "pruned_until",
    "published_before",
    "retries",
    "size_bytes",
    "small",
    "stats",
    "stuck",
    "table_progress",
    "those_after",
    "unended",
    "unqueued",
    "upload",
    "workers",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_an_error_of_each_method_that_writes() {
    let mut late = Late::new().await;

    let new = new_task();
    late.writes("insert", async |store| store.insert(vec![new.clone()], NOW).await).await;
    late.writes("due", async |store| store.due(10, LATER).await).await;
    late.writes("due_again", async |store| store.due_again(vec![new.id]).await).await;
    late.writes("mark_published", async |store| store.mark_published(vec![ticket(new.id, 0)]).await).await;
    late.writes("cancel", async |store| store.cancel(new.id, RULES).await).await;

    let id = WorkerId::random();
    late.writes("register", async |store| store.register(id, "a worker".to_owned(), LATER).await).await;
    late.writes("beat", async |store| store.beat(id, LATER).await).await;
    late.writes("drain", async |store| store.drain(id, true).await).await;
    let task = pending(&late.store).await;
    late.writes("claim", async |store| store.claim(vec![task], id).await).await;
    let bob = user(&late.store, "bob", &[Right::Paid]).await;
    let paid = NewTask { owner: Some(bob), ..new_task() };
    late.store.insert(vec![paid.clone()], NOW).await.unwrap();
    let held = claim(&late.store, paid.id, id).await;
    late.writes("record_paid_call", async |store| store.record_paid_call(held.id, held.attempt, None).await)
        .await;
    late.writes("withdraw_paid_call", async |store| store.withdraw_paid_call(held.id, held.attempt).await)
        .await;
    let row = unkept(&held, sent(1, Some(201)));
    late.writes("keep_rows", async |store| store.keep_rows(vec![row.clone()]).await).await;
    let kept = async |store: &database::Postgres| {
        store.keep_progress(held.id, held.attempt, serde_json::json!({"n": 1})).await
    };
    late.writes("keep_progress", kept).await;
    let back = charged_return(&held, LATER);
    late.writes("hand_back", async |store| store.hand_back(vec![back.clone()], RULES).await).await;
    let done = success(&running(&late.store).await);
    late.writes("complete", async |store| store.complete(vec![done.clone()], RULES).await).await;
    let small = success(&small::read(&late.store).await);
    late.writes("complete", async |store| store.complete(vec![small.clone()], RULES).await).await;
    late.writes("retire", async |store| store.retire(id).await).await;
    late.writes("return_lost", async |store| store.return_lost(RULES).await).await;
    late.writes("begin_alone", async |store| store.begin_alone().await).await;

    let gone = succeeded(&late.store).await;
    while late.store.number_outcomes(10).await.unwrap() != Some(0) {}
    while late.store.count_outcomes(10).await.unwrap() != Some(0) {}
    late.writes("purge", async |store| store.purge(gone).await).await;
    succeeded(&late.store).await;
    late.store.number_outcomes(10).await.unwrap();
    late.store.count_outcomes(10).await.unwrap();
    let step = PruneStep { subject: Subject::Tasks(Status::Succeeded), age: NOW, limit: 10, log: None };
    late.writes("prune", async |store| store.prune(step.clone()).await).await;
    late.writes("pause", async |store| store.pause(Kind::Md5).await).await;
    late.writes("resume", async |store| store.resume(Kind::Md5).await).await;

    late.writes("store_log", async |store| store.store_log(None, log(head(1))).await).await;
    let renamed = LogFollower { name: "another".to_owned(), ..log(head(1)) };
    late.writes("rename_log", async |store| store.rename_log(NAME.to_owned(), renamed.clone()).await).await;

    succeeded(&late.store).await;
    late.writes("number_outcomes", async |store| store.number_outcomes(10).await).await;
    late.writes("count_outcomes", async |store| store.count_outcomes(10).await).await;

    late.writes("try_write", async |store| store.try_write().await).await;

    late.has_tried_all_but(&READS, &["task-data/src/store", "crates/database/src/upkeep.rs"]);
}
