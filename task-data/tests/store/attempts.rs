//! What is kept of the attempts of a task.

use rstest::rstest;
use rstest_reuse::apply;
use task_data::store::{Attempt, NewTask, Retry, Store};
use task_data::task::{Status, TaskId, WorkerId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

/// An attempt as the tests compare it: its number, worker and error, and whether it has ended.
type Told = (i64, Option<WorkerId>, Option<String>, bool);

async fn told(store: &dyn Store, id: TaskId) -> Vec<Told> {
    let told = |attempt: Attempt| {
        let Attempt { number, worker, started, ended, error } = attempt;
        assert!(
            started.is_some() && ended.is_none_or(|ended| Some(ended) >= started),
            "{started:?} {ended:?}"
        );
        (number, worker, error.map(|error| error.code), ended.is_some())
    };
    store.attempts(id).await.unwrap().into_iter().map(told).collect()
}

#[apply(each_database)]
async fn attempts_that_went_wrong_are_kept_and_the_last_one_is_told(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let id = pending(&*store).await;
    assert_eq!(told(&*store, id).await, []);

    let first = claim(&*store, id, worker).await;
    store.hand_back(vec![charged_return(&first, NOW)], RULES).await.unwrap();
    let put_off = claim(&*store, id, worker).await;
    store.hand_back(vec![free_return(&put_off, NOW)], RULES).await.unwrap();
    let charged = (1, Some(worker), Some("io".to_owned()), true);
    assert_eq!(told(&*store, id).await, vec![charged.clone()]);

    let last = claim(&*store, id, worker).await;
    assert_eq!(told(&*store, id).await, [charged.clone(), (3, Some(worker), None, false)]);
    store.complete(vec![success(&last)], RULES).await.unwrap();
    assert_eq!(told(&*store, id).await, [charged, (3, None, None, true)]);
}

#[apply(each_database)]
async fn the_attempts_that_end_a_task_are_told_once(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    let mut expected = Vec::new();
    for number in 1..=i64::from(RULES.max_attempts) {
        let worker = worker(&*store).await;
        claim(&*store, id, worker).await;
        store.retire(worker).await.unwrap();
        store.return_lost(RULES).await.unwrap();
        expected.push((number, Some(worker), Some("worker-lost".to_owned()), true));
    }

    assert_eq!(told(&*store, id).await, expected);

    let failed = running(&*store).await;
    store.complete(vec![failure(&failed)], RULES).await.unwrap();
    assert_eq!(told(&*store, failed.id).await, [(1, None, Some("blob-missing".to_owned()), true)]);
}

#[apply(each_database)]
async fn the_newest_retries_of_a_task_are_told(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let failed = running(&*store).await;
    store.complete(vec![failure(&failed)], RULES).await.unwrap();
    assert_eq!(store.retries(failed.id).await.unwrap(), []);

    let again = || NewTask { retried_from: Some(failed.id), ..new_task() };
    let mut ids: Vec<TaskId> = Vec::new();
    for _ in 0..11 {
        ids.push(store.insert(vec![again()], NOW).await.unwrap()[0].id);
    }
    ids.sort_by_key(|id| std::cmp::Reverse(id.0));
    store.cancel(ids[0], RULES).await.unwrap();

    let retries = store.retries(failed.id).await.unwrap();
    assert_eq!(retries.iter().map(|retry| retry.id).collect::<Vec<_>>(), ids[..10]);
    assert_eq!((retries[0].status, retries[0].finished.is_some()), (Status::Cancelled, true));
    assert_eq!(retries[1], Retry { id: ids[1], status: Status::Pending, finished: None });
}
