//! Due tasks are taken for publishing once, and marked.

use std::time::Duration;

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::kinds::Kind;
use task_data::store::Store;
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

async fn published(store: &dyn Store) -> Vec<TaskId> {
    let tickets = store.published_before(Kind::Md5, Duration::ZERO, 100).await.unwrap();
    tickets.iter().map(|ticket| ticket.id).collect()
}

#[apply(each_database)]
async fn a_due_task_is_taken_once(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;

    let first = store.due(10, LATER).await.unwrap();
    let second = store.due(10, LATER).await.unwrap();

    assert_eq!(first, [ticket(id, 0)]);
    assert_eq!(second, []);
}

#[apply(each_database)]
async fn a_task_that_was_taken_and_not_marked_is_due_again(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let id = pending(&*store).await;
    store.due(10, NOW).await.unwrap();

    assert_eq!(due_now(&*store).await, [id]);
}

#[apply(each_database)]
async fn a_task_in_its_grace_is_not_due(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    store.insert(vec![new_task()], LATER).await.unwrap();

    assert_eq!(due_now(&*store).await, []);
}

#[apply(each_database)]
async fn only_what_is_pending_is_due(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let [pending, ..] = one_of_each(&*store).await;

    assert_eq!(due_now(&*store).await, [pending]);
}

#[apply(each_database)]
async fn the_longest_due_are_taken_first_and_no_more_than_wanted(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut oldest_first = Vec::new();
    for _ in 0..5 {
        oldest_first.push(pending(&*store).await);
    }

    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(sorted(store.due(2, LATER).await.unwrap().iter().map(|due| due.id)));
    }

    let pairs: Vec<_> = oldest_first.chunks(2).map(|ids| sorted(ids.iter().copied())).collect();
    assert_eq!(taken, pairs);
}

#[apply(each_database)]
async fn sweeps_at_once_take_each_task_once(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new: Vec<_> = (0..50).map(|_| new_task()).collect();
    let ids = sorted(new.iter().map(|new| new.id));
    store.insert(new, NOW).await.unwrap();

    let sweeps = join_all((0..20).map(|_| store.due(5, LATER))).await;

    let taken: Vec<TaskId> = sweeps.into_iter().flat_map(Result::unwrap).map(|due| due.id).collect();
    assert_eq!(sorted(taken), ids);
}

#[apply(each_database)]
async fn what_is_marked_is_not_due_any_more(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (marked, other) = (pending(&*store).await, pending(&*store).await);

    store.mark_published(vec![ticket(marked, 0)]).await.unwrap();

    assert_eq!(due_now(&*store).await, [other]);
    assert_eq!(published(&*store).await.len(), 1);
}

#[apply(each_database)]
async fn a_mark_that_comes_late_touches_no_later_attempt(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;
    store.mark_published(vec![ticket(claim.id, 0), ticket(claim.id, 1)]).await.unwrap();
    store.hand_back(vec![free_return(&claim, NOW)], RULES).await.unwrap();

    store.mark_published(vec![ticket(claim.id, 0)]).await.unwrap();

    assert_eq!(due_now(&*store).await, [claim.id]);
    assert_eq!(published(&*store).await.len(), 0);
}

#[apply(each_database)]
async fn marks_of_several_attempts_go_together(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (first, back) = (pending(&*store).await, running(&*store).await);
    store.hand_back(vec![free_return(&back, NOW)], RULES).await.unwrap();

    store.mark_published(vec![ticket(first, 0), ticket(back.id, 1)]).await.unwrap();

    assert_eq!(published(&*store).await.len(), 2);
}

#[apply(each_database)]
async fn a_mark_never_waits_for_a_claim_that_waits_for_it(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    for _ in 0..20 {
        let ids = join_all((0..50).map(|_| pending(&*store))).await;
        let tickets = ids.iter().rev().map(|id| ticket(*id, 0)).collect();
        let by_one = ids.chunks(7).map(|ids| store.claim(ids.to_vec(), worker));

        let (marked, claimed) = tokio::join!(store.mark_published(tickets), join_all(by_one));

        marked.unwrap();
        let claimed = claimed.into_iter().map(|claims| claims.unwrap().claimed.len());
        assert_eq!(claimed.sum::<usize>(), ids.len());
    }
}

#[apply(each_database)]
async fn what_is_pending_is_counted(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    assert_eq!(store.pending().await.unwrap(), 0);
    one_of_each(&*store).await;
    let marked = pending(&*store).await;
    store.mark_published(vec![ticket(marked, 0)]).await.unwrap();

    assert_eq!(store.pending().await.unwrap(), 2);
    assert_eq!(published(&*store).await.len(), 1);
}

#[apply(each_database)]
async fn what_was_published_long_ago_comes_first(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let ids = [pending(&*store).await, pending(&*store).await, pending(&*store).await];
    for id in [ids[2], ids[0], ids[1]] {
        store.mark_published(vec![ticket(id, 0)]).await.unwrap();
    }

    assert_eq!(published(&*store).await, [ids[2], ids[0], ids[1]]);
    let first = store.published_before(Kind::Md5, Duration::ZERO, 1).await.unwrap();
    assert_eq!(first, [ticket(ids[2], 0)]);
    assert_eq!(store.published_before(Kind::Md5, LATER, 100).await.unwrap(), []);
    assert_eq!(store.published_before(Kind::Table, Duration::ZERO, 100).await.unwrap(), []);
}
