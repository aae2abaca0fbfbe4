//! A pause of a kind: exact, whatever begins tasks at the same time.

use std::sync::Arc;

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::kinds::Kind;
use task_data::store::{Cancel, NewTask, Store};
use task_data::task::{Status, Task, TaskId, Time, WorkerId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;
use crate::small;

#[apply(each_database)]
async fn nothing_of_a_paused_kind_is_claimed_and_what_was_asked_for_waits(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let worker = worker(store).await;
    let id = pending(store).await;
    let ended = succeeded(store).await;
    let before = stands(store, id).await;
    store.pause(Kind::Md5).await.unwrap();

    let claims = store.claim(vec![id, ended], worker).await.unwrap();

    assert_eq!((claims.claimed, claims.waiting, claims.lease_is_live), (vec![], vec![id], true));
    assert_eq!(stands(store, id).await, before);
    store.resume(Kind::Md5).await.unwrap();
    assert_eq!(claim(store, id, worker).await.attempt, 1);
}

#[apply(each_database)]
async fn small_work_of_a_paused_kind_does_not_end_and_running_work_does(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (small, running) = (small::read(store).await, running(store).await);
    let before = stands(store, small.id).await;
    store.pause(Kind::Md5).await.unwrap();

    let ended = store.complete(vec![success(&small), success(&running)], RULES).await.unwrap();

    assert_eq!(ended, [running.id]);
    assert_eq!(stands(store, small.id).await, before);
    store.resume(Kind::Md5).await.unwrap();
    assert_eq!(store.complete(vec![success(&small)], RULES).await.unwrap(), [small.id]);
}

#[apply(each_database)]
async fn a_task_that_is_handed_back_in_a_pause_is_not_claimed_again(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let worker = worker(store).await;
    let running = claim(store, pending(store).await, worker).await;
    store.pause(Kind::Md5).await.unwrap();
    store.hand_back(vec![free_return(&running, NOW)], RULES).await.unwrap();

    let claims = store.claim(vec![running.id], worker).await.unwrap();

    assert_eq!((claims.claimed, claims.waiting), (vec![], vec![running.id]));
    assert_eq!(stands(store, running.id).await.attempt, 1);
}

#[apply(each_database)]
async fn other_kinds_and_all_that_is_not_a_beginning_go_on_in_a_pause(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let worker = worker(store).await;
    store.pause(Kind::Md5).await.unwrap();
    let message = NewTask { kind: Kind::Message, ..new_task() };
    store.insert(vec![message.clone()], NOW).await.unwrap();

    let waits = pending(store).await;

    assert_eq!(claim(store, message.id, worker).await.kind, Kind::Message);
    assert_eq!(due_now(store).await, [waits]);
    assert!(matches!(store.cancel(waits, RULES).await.unwrap(), Cancel::Accepted(_)));
}

#[apply(each_database)]
async fn a_pause_and_its_end_may_be_repeated(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    store.resume(Kind::Table).await.unwrap();
    assert_eq!(store.pauses().await.unwrap(), []);

    let first = store.pause(Kind::Table).await.unwrap();

    assert_eq!(store.pause(Kind::Table).await.unwrap(), first);
    assert_eq!(store.pauses().await.unwrap(), [first]);
    store.resume(Kind::Table).await.unwrap();
    store.resume(Kind::Table).await.unwrap();
    assert_eq!(store.pauses().await.unwrap(), []);
}

/// Claims and ends tasks, some of them as small work, until all have ended.
async fn work(store: Arc<dyn Store>, worker: WorkerId, ids: Vec<TaskId>, is_small: bool) {
    loop {
        for some in ids.chunks(3) {
            let begun = match is_small {
                true => store.small(some.to_vec(), i64::MAX).await.unwrap(),
                false => store.claim(some.to_vec(), worker).await.unwrap().claimed,
            };
            store.complete(begun.iter().map(success).collect(), RULES).await.unwrap();
        }
        let tasks = store.find(ids.clone()).await.unwrap();
        if tasks.iter().all(|task| task.status.is_ended()) {
            return;
        }
    }
}

#[apply(each_database)]
async fn after_a_pause_was_answered_no_task_begins_until_it_ends(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let ids = join_all((0..120).map(|_| pending(&*store))).await;
    let mut workers = Vec::new();
    for rival in 0..8 {
        let worker = worker(&*store).await;
        let mut ids = ids.clone();
        ids.rotate_left(rival * 15);
        workers.push(tokio::spawn(work(store.clone(), worker, ids, rival % 2 == 0)));
    }

    let mut pauses: Vec<(Time, Time)> = Vec::new();
    while !workers.iter().all(|worker| worker.is_finished()) {
        store.pause(Kind::Md5).await.unwrap();
        let answered = store.now().await.unwrap();
        let begun = |tasks: &[Task]| tasks.iter().map(|task| task.attempt).sum::<i64>();
        let before = begun(&store.find(ids.clone()).await.unwrap());
        // Each worker asks meanwhile.
        let after = begun(&store.find(ids.clone()).await.unwrap());
        assert_eq!(before, after);
        pauses.push((answered, store.now().await.unwrap()));
        store.resume(Kind::Md5).await.unwrap();
        tokio::task::yield_now().await;
    }
    join_all(workers).await.into_iter().for_each(|worker| worker.unwrap());

    for task in store.find(ids).await.unwrap() {
        let started = task.started.unwrap();
        assert_eq!((task.status, task.attempt), (Status::Succeeded, 1));
        assert!(!pauses.iter().any(|(from, until)| *from < started && started < *until), "{started:?}");
    }
}
