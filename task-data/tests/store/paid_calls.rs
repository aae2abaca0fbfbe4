//! The ledger of what is paid for.

use std::time::Duration;

use accounts::user::{Right, UserId};
use task_data::store::NewTask;
use task_data::store::PaidEntry::{NotAllowed, Recorded, Superseded};
use task_data::task::TaskId;

use crate::samples::{NOW, RULES, claim, free_return, new_task, pending, worker};
use crate::support::Everything;
use crate::users::added;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// A pending task of that user.
async fn pending_of(store: &dyn Everything, owner: UserId) -> TaskId {
    let new = NewTask { owner: Some(owner), ..new_task() };
    let id = new.id;
    store.insert(vec![new], NOW).await.unwrap();
    id
}

on_each_store!(a_call_is_recorded_for_a_running_attempt_alone, |store| async move {
    let worker = worker(&*store).await;
    let owner = added(&*store, "ada", &[Right::Paid]).await.id;
    let waiting = pending_of(&*store, owner).await;
    let first = claim(&*store, pending_of(&*store, owner).await, worker).await;

    assert_eq!(store.record_paid_call(TaskId::random(), 1, None).await.unwrap(), Superseded);
    assert_eq!(store.record_paid_call(waiting, 0, MINUTE).await.unwrap(), Superseded);
    assert_eq!(store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap(), Recorded);

    store.hand_back(vec![free_return(&first, NOW)], RULES).await.unwrap();
    assert_eq!(store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap(), Superseded);
    let second = claim(&*store, first.id, worker).await;
    assert_eq!(store.record_paid_call(first.id, first.attempt, MINUTE).await.unwrap(), Superseded);
    assert_eq!(store.record_paid_call(second.id, second.attempt, None).await.unwrap(), Recorded);
});

on_each_store!(a_call_is_recorded_only_while_its_owner_may_pay, |store| async move {
    let worker = worker(&*store).await;
    let owner = added(&*store, "ada", &[]).await.id;
    let of_nobody = claim(&*store, pending(&*store).await, worker).await;
    let hers = claim(&*store, pending_of(&*store, owner).await, worker).await;
    let ask = async |claim: &task_data::store::Claim| {
        store.record_paid_call(claim.id, claim.attempt, None).await.unwrap()
    };

    assert_eq!((ask(&of_nobody).await, ask(&hers).await), (NotAllowed, NotAllowed));
    store.grant(owner, Right::Paid).await.unwrap();
    assert_eq!((ask(&of_nobody).await, ask(&hers).await), (NotAllowed, Recorded));
    store.set_disabled(owner, true).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
    store.set_disabled(owner, false).await.unwrap();
    assert_eq!(ask(&hers).await, Recorded);
    store.revoke(owner, Right::Paid).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
    store.grant(owner, Right::Paid).await.unwrap();
    store.remove_user(owner).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
});

on_each_store!(a_call_may_be_recorded_again_and_withdrawn, |store| async move {
    let owner = added(&*store, "ada", &[Right::Paid]).await.id;
    let claim = claim(&*store, pending_of(&*store, owner).await, worker(&*store).await).await;

    for free_opens_in in [MINUTE, MINUTE, None] {
        let entry = store.record_paid_call(claim.id, claim.attempt, free_opens_in).await.unwrap();
        assert_eq!(entry, Recorded);
    }
    for _ in 0..2 {
        store.withdraw_paid_call(claim.id, claim.attempt).await.unwrap();
    }
    assert_eq!(store.record_paid_call(claim.id, claim.attempt, None).await.unwrap(), Recorded);
});
