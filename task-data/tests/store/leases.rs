//! Leases: a worker's hold on all that it runs, and what becomes of it when the worker is lost.

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::kinds::Kind;
use task_data::store::{Held, Rules, RunningTask, Store, WorkerState};
use task_data::task::{Status, TaskError, WorkerId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

/// Returns what a heartbeat tells of the worker's tasks; `None` if its lease is lost.
async fn held(store: &dyn Store, worker: WorkerId) -> Option<Vec<Held>> {
    store.beat(worker, LATER).await.unwrap().map(|beat| beat.held)
}

#[apply(each_database)]
async fn a_lost_workers_task_is_pending_again(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (lapsed, gone) = (worker(&*store).await, worker(&*store).await);
    let ids = [
        claim(&*store, pending(&*store).await, lapsed).await.id,
        claim(&*store, pending(&*store).await, gone).await.id,
    ];
    store.beat(lapsed, NOW).await.unwrap();
    store.retire(gone).await.unwrap();

    let returned = store.return_lost(RULES).await.unwrap();

    let mut returned: Vec<_> = went(&returned).into_iter().map(|(id, status)| (id, status.name())).collect();
    returned.sort();
    assert_eq!(returned, sorted(ids.map(|id| (id, Status::Pending.name()))));
    for id in ids {
        let task = stands(&*store, id).await;
        assert_eq!((task.status, task.attempt), (Status::Pending, 1));
    }
}

#[apply(each_database)]
async fn a_lost_workers_attempt_is_charged_and_fenced(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let lost = worker(&*store).await;
    let old = claim(&*store, pending(&*store).await, lost).await;
    store.retire(lost).await.unwrap();
    store.return_lost(RULES).await.unwrap();

    let ended = store.complete(vec![success(&old)], RULES).await.unwrap();
    let next = claim(&*store, old.id, worker(&*store).await).await;

    assert_eq!(ended, []);
    assert_eq!((next.attempt, next.tries), (2, 1));
}

#[apply(each_database)]
async fn what_a_live_lease_holds_is_left_to_it(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;

    let returned = store.return_lost(RULES).await.unwrap();

    assert_eq!(returned, []);
    assert_eq!(stands(&*store, claim.id).await.status, Status::Running);
}

#[apply(each_database)]
async fn sweeps_at_once_return_each_task_once(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let lost = worker(&*store).await;
    let ids = sorted(join_all((0..10).map(|_| pending(&*store))).await);
    store.claim(ids.clone(), lost).await.unwrap();
    store.retire(lost).await.unwrap();

    let sweeps = join_all((0..8).map(|_| store.return_lost(RULES))).await;

    let returned = sweeps.into_iter().flat_map(Result::unwrap).map(|moved| moved.id);
    assert_eq!(sorted(returned), ids);
}

#[apply(each_database)]
async fn the_first_loss_is_due_at_once_and_later_ones_rest(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let rules = Rules { max_attempts: 100, ..RULES };
    let id = pending(&*store).await;
    for losses in 1..=8 {
        let lost = worker(&*store).await;
        claim(&*store, id, lost).await;
        store.retire(lost).await.unwrap();
        store.return_lost(rules).await.unwrap();
        match losses {
            1 => assert_eq!(due_now(&*store).await, [id]),
            // The eighth rests for half a minute at least, the second perhaps for less than this loop takes.
            8 => assert_eq!(due_now(&*store).await, []),
            _ => {}
        }
    }
}

#[apply(each_database)]
async fn a_task_that_loses_each_worker_fails(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    let mut returned = Vec::new();
    for _ in 0..RULES.max_attempts {
        let lost = worker(&*store).await;
        claim(&*store, id, lost).await;
        store.retire(lost).await.unwrap();
        returned.extend(store.return_lost(RULES).await.unwrap());
    }

    assert_eq!(went(&returned), [(id, Status::Pending), (id, Status::Pending), (id, Status::Failed)]);
    let task = stands(&*store, id).await;
    assert_eq!((task.status, task.error), (Status::Failed, Some(TaskError::worker_lost())));
    assert!(task.finished.is_some());
}

#[apply(each_database)]
async fn a_lost_workers_task_that_was_to_be_cancelled_is_cancelled(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let lost = worker(&*store).await;
    let claim = claim(&*store, pending(&*store).await, lost).await;
    store.cancel(claim.id, RULES).await.unwrap();
    store.retire(lost).await.unwrap();

    let returned = store.return_lost(Rules { max_attempts: 1, ..RULES }).await.unwrap();

    assert_eq!(went(&returned), [(claim.id, Status::Cancelled)]);
    assert_eq!(stands(&*store, claim.id).await.error, Some(TaskError::cancelled()));
}

#[apply(each_database)]
async fn a_beat_tells_whether_the_lease_is_lost(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (live, lapsed, retired) = (worker(&*store).await, worker(&*store).await, worker(&*store).await);
    store.beat(lapsed, NOW).await.unwrap();
    store.retire(retired).await.unwrap();
    store.return_lost(RULES).await.unwrap();

    assert_eq!(held(&*store, live).await, Some(vec![]));
    for worker in [lapsed, retired, WorkerId::random()] {
        assert_eq!(store.beat(worker, LATER).await.unwrap(), None);
    }
}

#[apply(each_database)]
async fn a_beat_extends_the_lease(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let claim = claim(&*store, pending(&*store).await, worker).await;
    store.beat(worker, NOW).await.unwrap();

    store.beat(worker, LATER).await.unwrap();

    assert_eq!(store.return_lost(RULES).await.unwrap(), []);
    assert_eq!(stands(&*store, claim.id).await.status, Status::Running);
}

#[apply(each_database)]
async fn a_beat_tells_what_is_to_be_cancelled_and_nothing_of_others(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (mine, other) = (worker(&*store).await, worker(&*store).await);
    let wanted = claim(&*store, pending(&*store).await, mine).await;
    let cancelled = claim(&*store, pending(&*store).await, mine).await;
    let others = claim(&*store, pending(&*store).await, other).await;
    for claim in [&cancelled, &others] {
        store.cancel(claim.id, RULES).await.unwrap();
    }

    let held = held(&*store, mine).await;

    assert_eq!(held, Some(vec![Held { id: cancelled.id, attempt: 1, cancel_requested: true }]));
    assert_eq!(stands(&*store, wanted.id).await.status, Status::Running);
}

#[apply(each_database)]
async fn a_lease_that_is_begun_twice_is_one_lease(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = WorkerId::random();
    store.register(worker, "a worker".to_owned(), LATER).await.unwrap();

    let again = store.register(worker, "a worker".to_owned(), LATER).await;

    assert!(again.is_ok(), "the answer to the first call may have been lost: {again:?}");
    assert_eq!(held(&*store, worker).await, Some(vec![]));
}

#[apply(each_database)]
async fn a_lease_may_be_ended_twice(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    store.retire(worker).await.unwrap();

    assert!(store.retire(worker).await.is_ok());
}

#[apply(each_database)]
async fn who_begins_alone_finds_no_lease_and_all_that_is_pending_due_and_unpublished(
    database: FreshDatabase,
) {
    let store = task_data::store::of(&database);
    let former = worker(&*store).await;
    let runs = claim(&*store, pending(&*store).await, former).await;
    let rests = running(&*store).await;
    store.hand_back(vec![free_return(&rests, LATER)], RULES).await.unwrap();
    let published = pending(&*store).await;
    store.mark_published(vec![ticket(published, 0)]).await.unwrap();

    store.begin_alone().await.unwrap();

    assert_eq!(store.beat(former, LATER).await.unwrap(), None);
    let due = store.due(10, NOW).await.unwrap();
    assert_eq!(sorted(due.iter().map(|ticket| ticket.id)), sorted([rests.id, published]));
    let stats = store.stats(Kind::Md5).await.unwrap();
    assert_eq!((stats.pending, stats.unpublished), (2, 2), "the queue that had them is gone");
    assert_eq!(went(&store.return_lost(RULES).await.unwrap()), [(runs.id, Status::Pending)]);
}

#[apply(each_database)]
async fn what_nothing_moves_on_is_stuck(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let [held, lapsed, gone] = [worker(&*store).await, worker(&*store).await, worker(&*store).await];
    let mut running = Vec::new();
    for holder in [held, lapsed, gone] {
        running.push(claim(&*store, pending(&*store).await, holder).await.id);
    }
    store.beat(lapsed, NOW).await.unwrap();
    store.retire(gone).await.unwrap();
    let (due, later) = (pending(&*store).await, pending(&*store).await);
    store.mark_published(vec![ticket(later, 0)]).await.unwrap();
    let all = [running.clone(), vec![due, later]].concat();

    let stuck =
        async |ids: &[_], lapsed, overdue| sorted(store.stuck(ids.to_vec(), lapsed, overdue).await.unwrap());

    assert_eq!(stuck(&all, NOW, NOW).await, sorted([running[1], running[2], due]));
    assert_eq!(stuck(&all, LATER, LATER).await, [running[2]]);
    assert_eq!(stuck(&[running[0], later], NOW, NOW).await, []);
    assert_eq!(store.live_leases().await.unwrap(), 1);
}

#[apply(each_database)]
async fn a_beat_tells_a_worker_to_drain_until_that_is_undone(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (drained, other) = (worker(store).await, worker(store).await);
    let is_draining = async |worker| store.beat(worker, LATER).await.unwrap().unwrap().is_draining;
    assert!(!is_draining(drained).await);

    assert!(store.drain(drained, true).await.unwrap());

    assert!(is_draining(drained).await && !is_draining(other).await);
    assert!(store.drain(drained, false).await.unwrap());
    assert!(!is_draining(drained).await);
    assert!(!store.drain(WorkerId::random(), true).await.unwrap());
}

#[apply(each_database)]
async fn workers_are_listed_with_what_they_have_run_longest(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (busy, idle) = (WorkerId::random(), WorkerId::random());
    store.register(busy, "a busy one".to_owned(), LATER).await.unwrap();
    store.register(idle, "an idle one".to_owned(), LATER).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(claim(store, pending(store).await, busy).await.id);
    }
    succeeded(store).await;
    store.drain(idle, true).await.unwrap();

    let workers = store.workers().await.unwrap();

    let named = |name: &str| workers.iter().find(|worker| worker.name == name).unwrap();
    let WorkerState { id, running, tasks, is_draining, seen, lease_until, .. } = named("a busy one");
    assert_eq!((id, running, is_draining), (&busy, &12, &false));
    assert!(seen.0 < lease_until.0);
    let mut longest = Vec::new();
    for id in &ids[..10] {
        let started = stands(store, *id).await.started;
        longest.push(RunningTask { id: *id, kind: Kind::Md5.into(), started });
    }
    assert_eq!(tasks, &longest);
    let idle = named("an idle one");
    assert_eq!((idle.running, &*idle.tasks, idle.is_draining), (0, &[][..], true));
}
