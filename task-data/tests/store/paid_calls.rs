//! The ledger of paid calls.

use std::time::Duration;

use accounts::password::Passwords;
use accounts::user::{Right, User, UserId};
use accounts::{Accounts, NewUser};
use rstest::rstest;
use rstest_reuse::apply;
use task_data::store::PaidEntry::{NotAllowed, Recorded, Superseded};
use task_data::store::{NewTask, Store};
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::{NOW, RULES, claim, free_return, new_task, pending, worker};

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// Makes a user with these rights.
pub async fn user(accounts: &dyn Accounts, username: &str, rights: &[Right]) -> UserId {
    let user = User {
        id: UserId::random(),
        username: username.parse().unwrap(),
        rights: rights.iter().copied().collect(),
    };
    let password_hash = Passwords::default().hash("a password".parse().unwrap()).await.unwrap();
    let new = NewUser { user, password_hash };
    let id = new.user.id;
    assert!(accounts.add_user(new).await.unwrap());
    id
}

/// Makes a pending task of that user.
async fn pending_of(store: &dyn Store, owner: UserId) -> TaskId {
    let new = NewTask { owner: Some(owner), ..new_task() };
    let id = new.id;
    store.insert(vec![new], NOW).await.unwrap();
    id
}

#[apply(each_database)]
async fn a_call_is_recorded_for_a_running_attempt_alone(database: FreshDatabase) {
    let (store, accounts) = (task_data::store::of(&database), accounts::of(&database));
    let worker = worker(&*store).await;
    let owner = user(&*accounts, "ada", &[Right::Paid]).await;
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
}

#[apply(each_database)]
async fn a_call_is_recorded_only_while_its_owner_may_pay(database: FreshDatabase) {
    let (store, accounts) = (task_data::store::of(&database), accounts::of(&database));
    let worker = worker(&*store).await;
    let owner = user(&*accounts, "ada", &[]).await;
    let of_nobody = claim(&*store, pending(&*store).await, worker).await;
    let hers = claim(&*store, pending_of(&*store, owner).await, worker).await;
    let ask = async |claim: &task_data::store::Claim| {
        store.record_paid_call(claim.id, claim.attempt, None).await.unwrap()
    };

    assert_eq!((ask(&of_nobody).await, ask(&hers).await), (NotAllowed, NotAllowed));
    accounts.grant(owner, Right::Paid).await.unwrap();
    assert_eq!((ask(&of_nobody).await, ask(&hers).await), (NotAllowed, Recorded));
    accounts.set_disabled(owner, true).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
    accounts.set_disabled(owner, false).await.unwrap();
    assert_eq!(ask(&hers).await, Recorded);
    accounts.revoke(owner, Right::Paid).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
    accounts.grant(owner, Right::Paid).await.unwrap();
    accounts.remove_user(owner).await.unwrap();
    assert_eq!(ask(&hers).await, NotAllowed);
}

#[apply(each_database)]
async fn a_call_may_be_recorded_again_and_withdrawn(database: FreshDatabase) {
    let (store, accounts) = (task_data::store::of(&database), accounts::of(&database));
    let owner = user(&*accounts, "ada", &[Right::Paid]).await;
    let claim = claim(&*store, pending_of(&*store, owner).await, worker(&*store).await).await;

    for free_opens_in in [MINUTE, MINUTE, None] {
        let entry = store.record_paid_call(claim.id, claim.attempt, free_opens_in).await.unwrap();
        assert_eq!(entry, Recorded);
    }
    for _ in 0..2 {
        store.withdraw_paid_call(claim.id, claim.attempt).await.unwrap();
    }
    assert_eq!(store.record_paid_call(claim.id, claim.attempt, None).await.unwrap(), Recorded);
}
