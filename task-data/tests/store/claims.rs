//! A claim: one worker's alone, and only under a live lease.

use std::time::Duration;

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::task::{Status, TaskId, WorkerId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

#[apply(each_database)]
async fn a_claimed_task_runs_and_is_told_with_all_that_its_work_needs(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = new_task();
    store.insert(vec![new.clone()], NOW).await.unwrap();
    let worker = worker(&*store).await;

    let claims = store.claim(vec![new.id], worker).await.unwrap();

    assert!(claims.lease_is_live);
    let claim = &claims.claimed[0];
    assert_eq!((claim.id, claim.kind, &claim.input), (new.id, new.kind, &new.input));
    assert_eq!((claim.attempt, claim.tries), (1, 0));
    let task = stands(&*store, new.id).await;
    assert_eq!((task.status, task.attempt), (Status::Running, 1));
    assert!(task.started.is_some());
}

#[apply(each_database)]
async fn the_attempt_goes_up_at_every_claim(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    let worker = worker(&*store).await;
    for attempt in 1..=5 {
        let claim = claim(&*store, id, worker).await;

        assert_eq!(claim.attempt, attempt);
        store.hand_back(vec![free_return(&claim, NOW)], RULES).await.unwrap();
    }
}

#[apply(each_database)]
async fn without_a_live_lease_nothing_is_claimed(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (lapsed, retired) = (worker(&*store).await, worker(&*store).await);
    store.beat(lapsed, NOW).await.unwrap();
    store.retire(retired).await.unwrap();
    let id = pending(&*store).await;

    for worker in [WorkerId::random(), lapsed, retired] {
        let claims = store.claim(vec![id], worker).await.unwrap();

        assert!(!claims.lease_is_live);
        assert_eq!(claims.claimed, []);
    }
    let task = stands(&*store, id).await;
    assert_eq!((task.status, task.attempt), (Status::Pending, 0));
}

#[apply(each_database)]
async fn a_lease_that_lapses_during_the_claim_has_either_held_or_claimed_nothing(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    for _ in 0..300 {
        let id = pending(&*store).await;
        store.beat(worker, Duration::from_micros(fastrand::u64(100..900))).await.unwrap();

        let claims = store.claim(vec![id], worker).await.unwrap();

        assert!(claims.lease_is_live || claims.claimed.is_empty(), "claimed, and told to claim again");
    }
}

#[apply(each_database)]
async fn only_what_is_pending_is_claimed(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let ids = one_of_each(&*store).await;
    let mut wanted = ids.to_vec();
    wanted.push(TaskId::random());

    let claims = store.claim(wanted, worker(&*store).await).await.unwrap();

    assert!(claims.lease_is_live);
    assert_eq!(claims.claimed.iter().map(|claim| claim.id).collect::<Vec<_>>(), ids[..1]);
}

#[apply(each_database)]
async fn of_many_claims_at_once_one_wins(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let ids: Vec<TaskId> = join_all((0..5).map(|_| pending(&*store))).await;
    let workers = join_all((0..16).map(|_| worker(&*store))).await;

    let rivals = workers.iter().map(|worker| {
        let (store, worker, ids) = (store.clone(), *worker, ids.clone());
        tokio::spawn(async move { store.claim(ids, worker).await.unwrap().claimed })
    });
    let won = join_all(rivals).await;

    let claims: Vec<_> = won.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(sorted(claims.iter().map(|claim| claim.id)), sorted(ids));
    assert!(claims.iter().all(|claim| claim.attempt == 1));
}
