//! Rows go in and are found again.

use chrono::TimeDelta;
use futures::FutureExt;
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::{Value, json};
use task_data::kinds::Kind;
use task_data::store::{BLOB_IS_FRESH, NewTask, Payload};
use task_data::task::{Status, TaskError, TaskId, Time};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

#[apply(each_database)]
async fn a_task_is_found_as_it_was_inserted(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = new_task();

    let inserted = store.insert(vec![new.clone()], NOW).await.unwrap();

    let task = stands(&*store, new.id).await;
    assert_eq!(inserted, std::slice::from_ref(&task));
    assert_eq!((task.id, task.kind, task.input), (new.id, Kind::Md5.into(), new.input));
    assert_eq!((task.status, task.attempt), (Status::Pending, 0));
    assert_eq!((task.started, task.finished, task.result, task.error), (None, None, None, None));
    assert!(!task.has_blob);
}

#[apply(each_database)]
async fn a_small_upload_is_given_to_who_claims_it(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let bytes: Vec<u8> = (0..=255).cycle().take(16 << 10).collect();
    let new = NewTask { payload: Payload::Inline(bytes.clone()), ..new_task() };
    store.insert(vec![new.clone()], NOW).await.unwrap();

    let claim = claim(&*store, new.id, worker(&*store).await).await;

    assert_eq!((claim.content, claim.blob_check), (Some(bytes), None));
}

#[apply(each_database)]
async fn an_empty_upload_is_one_too(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = NewTask { payload: Payload::Inline(Vec::new()), ..new_task() };
    store.insert(vec![new.clone()], NOW).await.unwrap();

    let claim = claim(&*store, new.id, worker(&*store).await).await;

    assert_eq!(claim.content, Some(Vec::new()));
}

#[apply(each_database)]
async fn a_large_upload_is_told_by_its_check_alone(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    for check in [i64::MIN, 0, i64::MAX] {
        let payload = Payload::Blob { check, since: store.now().await.unwrap() };
        let new = NewTask { payload, ..new_task() };
        let inserted = store.insert(vec![new.clone()], NOW).await.unwrap();

        let claim = claim(&*store, new.id, worker(&*store).await).await;

        assert!(inserted[0].has_blob);
        assert_eq!((claim.content, claim.blob_check), (None, Some(check)));
    }
}

#[apply(each_database)]
async fn an_id_that_is_inserted_again_is_left_as_it_stands(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let first = running(&*store).await;
    let before = stands(&*store, first.id).await;
    let again = NewTask { id: first.id, input: json!("other"), ..new_task() };
    let neighbour = new_task();

    let given = store.insert(vec![again, neighbour.clone()], NOW).await.unwrap();

    assert!(given.contains(&before), "{given:?}");
    assert_eq!(stands(&*store, first.id).await, before);
    assert_eq!(stands(&*store, neighbour.id).await.status, Status::Pending);
    assert_eq!(given.len(), 2);
}

#[apply(each_database)]
async fn a_blob_that_has_waited_too_long_gets_no_row_and_its_neighbours_do(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let now = store.now().await.unwrap();
    let blob_of = |age: TimeDelta| Payload::Blob { check: 1, since: Time(now.0 - age) };
    let too_late = NewTask { payload: blob_of(TimeDelta::from_std(BLOB_IS_FRESH).unwrap()), ..new_task() };
    let in_time = NewTask { payload: blob_of(TimeDelta::zero()), ..new_task() };
    let small = new_task();

    let given = store.insert(vec![in_time.clone(), too_late.clone(), small.clone()], NOW).await.unwrap();

    let ids = sorted(given.iter().map(|task| task.id));
    assert_eq!(ids, sorted([in_time.id, small.id]));
    assert_eq!(store.find(vec![too_late.id]).await.unwrap(), []);
}

#[apply(each_database)]
async fn a_row_that_is_there_is_given_however_late_it_is_asked_for_again(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let now = store.now().await.unwrap();
    let new = NewTask { payload: Payload::Blob { check: 1, since: now }, ..new_task() };
    let first = store.insert(vec![new.clone()], NOW).await.unwrap();
    let late =
        NewTask { payload: Payload::Blob { check: 1, since: Time(now.0 - TimeDelta::hours(1)) }, ..new };

    let second = store.insert(vec![late], NOW).await.unwrap();

    assert_eq!(second, first);
}

#[apply(each_database)]
async fn an_unknown_id_is_not_found_and_hides_no_other(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;

    let found = store.find(vec![TaskId::random(), id, TaskId::random()]).await.unwrap();

    assert_eq!(found.iter().map(|task| task.id).collect::<Vec<_>>(), [id]);
    assert_eq!(store.find(Vec::new()).await.unwrap(), []);
}

/// Returns odd texts that people and programs send in names and replies.
fn odd_texts() -> [String; 6] {
    [
        "\0".to_owned(),
        "a\0b".to_owned(),
        "\u{1}\u{1f}\u{7f}\u{2028}\u{202e}\u{feff}\u{fffd}\u{10ffff}".to_owned(),
        "🧥 naïve e\u{301} 日本".to_owned(),
        r#"'; DROP TABLE tasks; -- \u0000 " \"#.to_owned(),
        "x".repeat(2 << 20),
    ]
}

#[apply(each_database)]
async fn text_of_any_sort_in_an_input_is_kept_whole_or_refused(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    for text in odd_texts() {
        let new = NewTask { input: json!({"filename": text, text.clone(): [text]}), ..new_task() };

        let outcome = store.insert(vec![new.clone()], NOW).await;

        let found = store.find(vec![new.id]).await.unwrap().pop();
        assert_eq!(found.map(|task| task.input), is_taken(&outcome).then_some(new.input));
    }
}

#[apply(each_database)]
async fn text_of_any_sort_in_an_outcome_is_kept_whole_or_refused(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    for text in odd_texts() {
        let (fails, succeeds) = (running(&*store).await, running(&*store).await);
        let mut failure = failure(&fails);
        failure.outcome = Err(TaskError::new("io", text.clone()));
        let mut success = success(&succeeds);
        success.outcome = Ok(json!({"reply": text}));

        let failed = store.complete(vec![failure.clone()], RULES).await;
        let succeeded = store.complete(vec![success.clone()], RULES).await;

        let task = stands(&*store, fails.id).await;
        assert_eq!(task.error, is_taken(&failed).then(|| failure.outcome.unwrap_err()));
        let task = stands(&*store, succeeds.id).await;
        assert_eq!(task.result, is_taken(&succeeded).then(|| success.outcome.unwrap()));
    }
}

#[apply(each_database)]
async fn a_value_that_could_not_be_read_again_is_refused_in_every_place(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = NewTask { input: unreadable(), ..new_task() };
    let runs = running(&*store).await;
    let mut completion = success(&runs);
    completion.outcome = Ok(unreadable());

    let inserted = store.insert(vec![new.clone()], NOW).await;
    let completed = store.complete(vec![completion], RULES).await;

    assert!(!is_taken(&inserted) && !is_taken(&completed));
    assert_eq!(store.find(vec![new.id]).await.unwrap(), []);
    assert_eq!(stands(&*store, runs.id).await.status, Status::Running);
}

#[apply(each_database)]
async fn the_deepest_value_that_is_taken_can_be_read_again(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    for depth in 100..140 {
        let input = (0..depth).fold(Value::Null, |inner, _| json!([inner]));
        let new = NewTask { input, ..new_task() };

        let outcome = store.insert(vec![new.clone()], NOW).await;

        let found = store.find(vec![new.id]).await.unwrap().pop();
        assert_eq!(found.map(|task| task.input), is_taken(&outcome).then_some(new.input), "depth {depth}");
    }
}

#[apply(each_database)]
async fn a_call_that_is_refused_has_done_nothing_and_harms_no_other(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut good = Vec::new();
    let mut calls = Vec::new();
    let mut bad = Vec::new();
    for round in 0..30 {
        let mut batch = vec![new_task(), new_task()];
        match round % 3 {
            0 => {
                batch.insert(1, NewTask { input: unreadable(), ..new_task() });
                bad.extend(batch.iter().map(|new| new.id));
            }
            _ => good.extend(batch.iter().map(|new| new.id)),
        }
        calls.push(store.insert(batch, NOW));
    }

    let outcomes = join_all(calls).await;

    assert_eq!(outcomes.iter().filter(|outcome| !is_taken(outcome)).count(), 10);
    assert_eq!(store.find(bad).await.unwrap(), []);
    assert_eq!(store.find(good.clone()).await.unwrap().len(), good.len());
}

#[apply(each_database)]
async fn a_caller_that_goes_away_costs_no_other_its_answer(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    for _ in 0..200 {
        // Begun, and dropped while under way.
        for _ in 0..8 {
            let _ = store.find(vec![id]).now_or_never();
        }

        let found = store.find(vec![id]).await;

        assert_eq!(found.unwrap().len(), 1);
    }
}
