//! The ledger of what is paid for.

use std::time::Duration;

use task_data::task::TaskId;

use crate::samples::{NOW, RULES, claim, free_return, pending, worker};

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

on_each_store!(a_call_is_recorded_for_a_running_attempt_alone, |store| async move {
    let worker = worker(&*store).await;
    let waiting = pending(&*store).await;
    let first = claim(&*store, pending(&*store).await, worker).await;

    assert!(!store.record_paid_call(TaskId::random(), 1, None).await.unwrap());
    assert!(!store.record_paid_call(waiting, 0, MINUTE).await.unwrap());
    assert!(store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap());

    store.hand_back(vec![free_return(&first, NOW)], RULES).await.unwrap();
    assert!(!store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap());
    let second = claim(&*store, first.id, worker).await;
    assert!(!store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap());
    assert!(store.record_paid_call(second.id, second.attempt, None).await.unwrap());
});

on_each_store!(a_call_may_be_recorded_again_and_withdrawn, |store| async move {
    let claim = claim(&*store, pending(&*store).await, worker(&*store).await).await;

    for free_opens_in in [MINUTE, MINUTE, None] {
        assert!(store.record_paid_call(claim.id, claim.attempt, free_opens_in).await.unwrap());
    }
    for _ in 0..2 {
        store.withdraw_paid_call(claim.id, claim.attempt).await.unwrap();
    }
    assert!(store.record_paid_call(claim.id, claim.attempt, None).await.unwrap());
});
