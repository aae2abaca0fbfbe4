//! How attempts end: completed, handed back or cancelled, and fenced if they come too late.

use chrono::TimeDelta;
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::Kind;
use task_data::store::{Cancel, Completion, HandBack, Moved, Rules};
use task_data::task::{Status, TaskError, TaskId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

#[apply(each_database)]
async fn a_completed_task_has_its_result_and_its_end(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;

    let ended = store.complete(vec![success(&claim)], RULES).await.unwrap();

    assert_eq!(ended, [claim.id]);
    let task = stands(&*store, claim.id).await;
    assert_eq!(
        (task.status, task.result, task.error),
        (Status::Succeeded, Some(json!({"md5": "abc"})), None)
    );
    assert!(task.finished.is_some());
}

#[apply(each_database)]
async fn a_completed_task_that_failed_says_why(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;

    let ended = store.complete(vec![failure(&claim)], RULES).await.unwrap();

    assert_eq!(ended, [claim.id]);
    let task = stands(&*store, claim.id).await;
    let error = TaskError::new("blob-missing", "It is gone.");
    assert_eq!((task.status, task.result, task.error), (Status::Failed, None, Some(error)));
    assert!(task.finished.is_some());
}

#[apply(each_database)]
async fn a_superseded_attempt_ends_nothing(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    let worker = worker(&*store).await;
    let old = claim(&*store, id, worker).await;
    store.hand_back(vec![free_return(&old, NOW)], RULES).await.unwrap();

    let while_pending = store.complete(vec![success(&old)], RULES).await.unwrap();
    claim(&*store, id, worker).await;
    let before = stands(&*store, id).await;
    let while_running = store.complete(vec![success(&old), failure(&old)], RULES).await.unwrap();
    let returned =
        store.hand_back(vec![free_return(&old, NOW), charged_return(&old, NOW)], RULES).await.unwrap();

    assert_eq!((while_pending, while_running, returned), (vec![], vec![], vec![]));
    assert_eq!(stands(&*store, id).await, before);
}

#[apply(each_database)]
async fn of_many_completions_at_once_one_counts(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;
    let rivals = (0..10).map(|rival| {
        let outcome = Ok(json!({"md5": rival}));
        store.complete(vec![Completion { outcome, ..success(&claim) }], RULES)
    });

    let ended = join_all(rivals).await;

    let winners: Vec<usize> =
        (0..10).filter(|rival| ended[*rival].as_ref().unwrap().contains(&claim.id)).collect();
    let task = stands(&*store, claim.id).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(task.result, Some(json!({"md5": winners[0]})));
}

#[apply(each_database)]
async fn an_ended_task_never_changes(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let mut ended = Vec::new();
    for status in [Status::Succeeded, Status::Failed, Status::Cancelled] {
        let claim = running(&*store).await;
        match status {
            Status::Succeeded => drop(store.complete(vec![success(&claim)], RULES).await.unwrap()),
            Status::Failed => drop(store.complete(vec![failure(&claim)], RULES).await.unwrap()),
            _ => {
                store.cancel(claim.id, RULES).await.unwrap();
                store.hand_back(vec![free_return(&claim, NOW)], RULES).await.unwrap();
            }
        }
        let task = stands(&*store, claim.id).await;
        assert_eq!(task.status, status);
        ended.push((claim, task));
    }

    for (claim, task) in ended {
        let other = Completion { outcome: Ok(json!({"md5": "other"})), ..success(&claim) };
        assert_eq!(store.complete(vec![other, failure(&claim)], RULES).await.unwrap(), []);
        assert_eq!(store.hand_back(vec![charged_return(&claim, NOW)], RULES).await.unwrap(), []);
        assert_eq!(store.cancel(claim.id, RULES).await.unwrap(), Cancel::Ended(task.clone()));
        assert_eq!(store.claim(vec![claim.id], worker).await.unwrap().claimed, []);
        store.mark_published(vec![ticket(claim.id, claim.attempt)]).await.unwrap();
        store.begin_alone().await.unwrap();
        store.return_lost(RULES).await.unwrap();

        assert_eq!(stands(&*store, claim.id).await, task);
        store.register(worker, "again".to_owned(), LATER).await.unwrap();
    }
}

#[apply(each_database)]
async fn a_task_handed_back_is_pending_again_when_it_is_time(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (now, later) = (running(&*store).await, running(&*store).await);
    let returns = vec![free_return(&now, NOW), charged_return(&later, LATER)];

    let moved = store.hand_back(returns, RULES).await.unwrap();

    assert_eq!(went(&moved), [(now.id, Status::Pending), (later.id, Status::Pending)]);
    assert_eq!(stands(&*store, later.id).await.status, Status::Pending);
    assert_eq!(due_now(&*store).await, [now.id]);
}

#[apply(each_database)]
async fn a_task_that_waits_says_for_what_and_until_when(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let (charged, waits, stopped) = (running(&*store).await, running(&*store).await, running(&*store).await);
    let away = TaskError::new("provider-unavailable", "It is away.");
    let waiting = HandBack { waits_for: Some(away.clone()), ..free_return(&waits, LATER) };
    let before = store.now().await.unwrap();

    store
        .hand_back(vec![charged_return(&charged, LATER), waiting, free_return(&stopped, NOW)], RULES)
        .await
        .unwrap();

    let error = charged_return(&charged, LATER).charge;
    for (claim, error) in [(&charged, error), (&waits, Some(away))] {
        let task = stands(&*store, claim.id).await;
        assert_eq!((task.status, &task.error), (Status::Pending, &error));
        let left = task.next_attempt.unwrap().0 - before.0;
        assert!(left >= TimeDelta::from_std(LATER).unwrap(), "{left}");
        // The sweep's work on it changes nothing of that.
        store.mark_published(vec![ticket(claim.id, claim.attempt)]).await.unwrap();
        assert_eq!(stands(&*store, claim.id).await, task);
    }
    let task = stands(&*store, stopped.id).await;
    assert_eq!((task.error, task.next_attempt), (None, None));
    for claimed in [&charged, &waits] {
        let again = claim(&*store, claimed.id, worker).await;
        let task = stands(&*store, claimed.id).await;
        assert_eq!((task.status, task.error, task.next_attempt), (Status::Running, None, None));
        store.hand_back(vec![charged_return(&again, LATER)], RULES).await.unwrap();
        store.cancel(claimed.id, RULES).await.unwrap();
        let task = stands(&*store, claimed.id).await;
        assert_eq!((task.error, task.next_attempt), (Some(TaskError::cancelled()), None));
    }
}

#[apply(each_database)]
async fn a_task_handed_back_keeps_its_upload(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let first = running(&*store).await;
    store.hand_back(vec![charged_return(&first, NOW)], RULES).await.unwrap();

    let second = claim(&*store, first.id, worker(&*store).await).await;

    assert_eq!(second.content, first.content);
    assert!(second.content.is_some());
}

#[apply(each_database)]
async fn a_free_return_costs_no_try_and_a_charged_one_costs_one(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let id = pending(&*store).await;

    let mut tries = Vec::new();
    for is_charged in [false, true, false, false, true, false] {
        let claim = claim(&*store, id, worker).await;
        tries.push(claim.tries);
        let back = if is_charged { charged_return(&claim, NOW) } else { free_return(&claim, NOW) };
        store.hand_back(vec![back], RULES).await.unwrap();
    }

    assert_eq!(tries, [0, 0, 1, 1, 1, 2]);
}

#[apply(each_database)]
async fn the_last_try_fails_the_task_with_the_error_that_was_charged(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let rules = Rules { max_attempts: 2, ..RULES };
    let worker = worker(&*store).await;
    let id = pending(&*store).await;
    let first = claim(&*store, id, worker).await;
    let once = store.hand_back(vec![charged_return(&first, NOW)], rules).await.unwrap();
    let second = claim(&*store, id, worker).await;

    let twice = store.hand_back(vec![charged_return(&second, NOW)], rules).await.unwrap();

    assert_eq!((went(&once), went(&twice)), (vec![(id, Status::Pending)], vec![(id, Status::Failed)]));
    let error = charged_return(&second, NOW).charge;
    let moved = Moved { id, kind: Kind::Md5.into(), attempt: second.attempt, status: Status::Failed, error };
    assert_eq!(twice, [moved]);
    let task = stands(&*store, id).await;
    assert_eq!((task.status, task.error), (Status::Failed, charged_return(&second, NOW).charge));
    assert!(task.finished.is_some());
}

#[apply(each_database)]
async fn a_pending_task_is_cancelled_at_once(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;

    let outcome = store.cancel(id, RULES).await.unwrap();

    let task = stands(&*store, id).await;
    assert_eq!(outcome, Cancel::Accepted(task.clone()));
    assert_eq!((task.status, task.error), (Status::Cancelled, Some(TaskError::cancelled())));
    assert!(task.finished.is_some());
}

#[apply(each_database)]
async fn a_running_task_is_cancelled_when_it_is_handed_back(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (free, charged) = (running(&*store).await, running(&*store).await);
    for id in [free.id, charged.id] {
        let outcome = store.cancel(id, RULES).await.unwrap();

        assert_eq!(outcome, Cancel::Accepted(stands(&*store, id).await));
        assert_eq!(stands(&*store, id).await.status, Status::Running);
    }
    let rules = Rules { max_attempts: 1, ..RULES };

    let moved = store
        .hand_back(vec![free_return(&free, LATER), charged_return(&charged, LATER)], rules)
        .await
        .unwrap();

    assert_eq!(went(&moved), [(free.id, Status::Cancelled), (charged.id, Status::Cancelled)]);
    for id in [free.id, charged.id] {
        let task = stands(&*store, id).await;
        assert_eq!((task.status, task.error), (Status::Cancelled, Some(TaskError::cancelled())));
        assert!(task.finished.is_some());
    }
}

#[apply(each_database)]
async fn a_running_task_that_completes_first_is_not_cancelled(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;
    store.cancel(claim.id, RULES).await.unwrap();

    let ended = store.complete(vec![success(&claim)], RULES).await.unwrap();

    assert_eq!(ended, [claim.id]);
    assert_eq!(stands(&*store, claim.id).await.status, Status::Succeeded);
}

#[apply(each_database)]
async fn a_task_that_has_ended_or_never_was_is_not_cancelled(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let [_, _, ended @ ..] = one_of_each(&*store).await;
    for id in ended {
        let task = stands(&*store, id).await;

        assert_eq!(store.cancel(id, RULES).await.unwrap(), Cancel::Ended(task));
    }
    assert_eq!(store.cancel(TaskId::random(), RULES).await.unwrap(), Cancel::Unknown);
}

#[apply(each_database)]
async fn each_of_a_batch_goes_its_own_way(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (first, second) = (running(&*store).await, running(&*store).await);
    let stale = Completion { attempt: 7, ..success(&second) };
    let unknown = Completion { id: TaskId::random(), ..success(&second) };

    let ended = store.complete(vec![stale, unknown, success(&first)], RULES).await.unwrap();

    assert_eq!(ended, [first.id]);
    assert_eq!(stands(&*store, second.id).await.status, Status::Running);
}
