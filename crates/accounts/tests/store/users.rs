//! Users: a name is one user's, and rights come and go.

use std::collections::BTreeSet;

use accounts::Accounts;
use accounts::password::Passwords;
use accounts::user::{Right, TypedName, User, UserId};
use accounts::{Login, NewUser};
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use test_kit::{FreshDatabase, each_database};

pub async fn new_user(username: &str, rights: &[Right]) -> NewUser {
    let rights = rights.iter().copied().collect();
    let user = User { id: UserId::random(), username: username.parse().unwrap(), rights };
    let password = username.repeat(8).parse().unwrap();
    NewUser { user, password_hash: Passwords::default().hash(password).await.unwrap() }
}

pub async fn added(store: &dyn Accounts, username: &str, rights: &[Right]) -> User {
    let new = new_user(username, rights).await;
    assert!(store.add_user(new.clone()).await.unwrap());
    new.user
}

fn name(typed: &str) -> TypedName {
    TypedName::new(typed).unwrap()
}

async fn found(store: &dyn Accounts, id: UserId) -> Option<User> {
    store.account(id).await.unwrap().map(|account| account.user)
}

#[apply(each_database)]
async fn a_user_is_found_by_his_id_and_by_his_name_however_it_is_typed(database: FreshDatabase) {
    let store = accounts::of(&database);
    let new = new_user("Ada Lovelace", &[Right::Admin, Right::Paid]).await;
    assert!(store.add_user(new.clone()).await.unwrap());
    added(&*store, "Bob", &[]).await;

    let by_id = store.account(new.user.id).await.unwrap().unwrap();

    assert_eq!((by_id.user, by_id.disabled, by_id.sessions), (new.user.clone(), None, 0));
    for typed in ["ada lovelace", "Ada Lovelace", "\u{ff21}da Lovelace"] {
        let (id, password_hash) = (new.user.id, new.password_hash.clone());
        let login = store.login(name(typed)).await.unwrap();
        assert_eq!(login, Some(Login { id, password_hash, sessions: 0 }), "{typed}");
    }
    assert_eq!(store.account(UserId::random()).await.unwrap(), None);
    assert_eq!(store.login(name("ada")).await.unwrap(), None);
}

#[apply(each_database)]
async fn a_name_is_one_users(database: FreshDatabase) {
    let store = accounts::of(&database);
    let first = added(&*store, "ada", &[]).await;

    let second = new_user("Ada", &[Right::Admin]).await;
    let taken = store.add_user(second.clone()).await.unwrap();

    assert!(!taken);
    assert_eq!(store.login(name("ada")).await.unwrap().map(|login| login.id), Some(first.id));
    assert_eq!(found(&*store, second.user.id).await, None);
}

#[apply(each_database)]
async fn of_many_who_want_a_name_at_once_one_has_it(database: FreshDatabase) {
    let store = accounts::of(&database);
    let new = new_user("ada", &[Right::Paid]).await;
    let attempts = (0..10).map(|_| {
        let user = User { id: UserId::random(), ..new.user.clone() };
        store.add_user(NewUser { user, ..new.clone() })
    });

    let outcomes = join_all(attempts).await;

    assert_eq!(outcomes.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    let Login { id, .. } = store.login(name("ada")).await.unwrap().unwrap();
    assert_eq!(found(&*store, id).await.unwrap().rights, BTreeSet::from([Right::Paid]));
}

#[apply(each_database)]
async fn rights_are_granted_and_revoked_again_and_again(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (user, other) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &[Right::Paid]).await);

    for _ in 0..2 {
        let granted = store.grant(user.id, Right::Paid).await.unwrap().unwrap();
        assert_eq!(granted.rights, BTreeSet::from([Right::Paid]));
    }
    let both = store.grant(user.id, Right::Admin).await.unwrap().unwrap();
    for _ in 0..2 {
        let left = store.revoke(user.id, Right::Paid).await.unwrap().unwrap();
        assert_eq!(left.rights, BTreeSet::from([Right::Admin]));
    }

    assert_eq!(both.rights, BTreeSet::from([Right::Paid, Right::Admin]));
    assert_eq!(found(&*store, other.id).await, Some(other));
}

#[apply(each_database)]
async fn nobody_has_rights(database: FreshDatabase) {
    let store = accounts::of(&database);
    assert_eq!(store.grant(UserId::random(), Right::Paid).await.unwrap(), None);
    assert_eq!(store.revoke(UserId::random(), Right::Paid).await.unwrap(), None);
    let hash = new_user("ada", &[]).await.password_hash;
    assert_eq!(store.set_password(UserId::random(), hash).await.unwrap(), None);
    assert_eq!(store.set_disabled(UserId::random(), true).await.unwrap(), None);
    assert!(!store.end_sessions(UserId::random()).await.unwrap());
    assert!(!store.remove_user(UserId::random()).await.unwrap());
}

#[apply(each_database)]
async fn sessions_end_by_a_number_that_only_goes_up(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (ada, bob) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &[]).await);
    let other = new_user("another", &[]).await.password_hash;

    assert_eq!(store.set_password(ada.id, other.clone()).await.unwrap(), Some(1));
    let login = store.login(name("ada")).await.unwrap();
    assert_eq!(login, Some(Login { id: ada.id, password_hash: other, sessions: 1 }));
    assert!(store.end_sessions(ada.id).await.unwrap());
    let disabled = store.set_disabled(ada.id, true).await.unwrap().unwrap();
    assert!(disabled.disabled.is_some() && disabled.sessions > 2, "{disabled:?}");
    let enabled = store.set_disabled(ada.id, false).await.unwrap().unwrap();
    assert!(enabled.disabled.is_none() && enabled.sessions >= disabled.sessions, "{enabled:?}");

    assert_eq!(store.account(bob.id).await.unwrap().unwrap().sessions, 0);
}

#[apply(each_database)]
async fn users_come_in_pages_the_oldest_first_with_their_rights(database: FreshDatabase) {
    let store = accounts::of(&database);
    let mut ids = Vec::new();
    for username in ["ada", "bob", "eve"] {
        ids.push(added(&*store, username, &[Right::Paid]).await.id);
    }
    store.grant(ids[1], Right::Admin).await.unwrap();

    let first = store.accounts(None, 2).await.unwrap();
    let second = store.accounts(Some(ids[1]), 2).await.unwrap();

    let all: Vec<_> = first.iter().chain(&second).map(|account| account.user.id).collect();
    assert_eq!((all, first.len()), (ids, 2));
    assert_eq!(first[1].user.rights, BTreeSet::from([Right::Paid, Right::Admin]));
    assert_eq!(second[0].user.rights, BTreeSet::from([Right::Paid]));
}

#[apply(each_database)]
async fn a_user_who_is_removed_leaves_neither_rights_nor_a_name(database: FreshDatabase) {
    let store = accounts::of(&database);
    let ada = added(&*store, "ada", &[Right::Admin]).await;

    assert!(store.remove_user(ada.id).await.unwrap());

    assert!(!store.remove_user(ada.id).await.unwrap());
    assert_eq!((found(&*store, ada.id).await, store.login(name("ada")).await.unwrap()), (None, None));
    let next = added(&*store, "ada", &[]).await;
    assert_eq!(found(&*store, next.id).await, Some(next));
}
