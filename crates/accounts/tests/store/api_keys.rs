//! API keys: each stands for its user, with their present rights, until it is removed.

use accounts::Accounts;
use accounts::NewKey;
use accounts::api_key::{ApiKey, KeyHash, KeyId};
use accounts::user::{Right, User, UserId};
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use test_kit::{FreshDatabase, each_database};

use crate::users::added;

const MOST: i64 = 3;

pub fn new_key(user: &User, key: &str) -> NewKey {
    NewKey { id: KeyId::random(), user: user.id, name: "a name".parse().unwrap(), hash: KeyHash::of(key) }
}

async fn key(store: &dyn Accounts, user: &User, key: &str) -> ApiKey {
    store.add_key(new_key(user, key), MOST).await.unwrap().unwrap()
}

#[apply(each_database)]
async fn a_key_stands_for_its_user_with_the_rights_that_he_has_now(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (ada, bob) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &Right::ALL).await);
    key(&*store, &ada, "ada's").await;
    key(&*store, &bob, "bob's").await;

    let before = store.user_of_key(KeyHash::of("ada's")).await.unwrap();
    let granted = store.grant(ada.id, Right::Paid).await.unwrap();
    let after = store.user_of_key(KeyHash::of("ada's")).await.unwrap();

    assert_eq!((before, after), (Some(ada), granted));
    assert_eq!(store.user_of_key(KeyHash::of("bob's")).await.unwrap(), Some(bob));
    assert_eq!(store.user_of_key(KeyHash::of("nobody's")).await.unwrap(), None);
}

#[apply(each_database)]
async fn a_user_has_his_own_keys_the_oldest_first(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (ada, bob) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &[]).await);
    let keys = [key(&*store, &ada, "1").await, key(&*store, &ada, "2").await, key(&*store, &ada, "3").await];
    let other = key(&*store, &bob, "4").await;

    assert_eq!(store.keys_of(ada.id).await.unwrap(), keys);
    assert_eq!(store.keys_of(bob.id).await.unwrap(), [other]);
    assert_eq!(store.keys_of(UserId::random()).await.unwrap(), []);
}

#[apply(each_database)]
async fn a_key_is_removed_by_its_user_alone_and_stands_for_nobody_then(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (ada, bob) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &[]).await);
    let mine = key(&*store, &ada, "mine").await;

    let by_another = store.remove_key(bob.id, mine.id).await.unwrap();
    let unknown = store.remove_key(ada.id, KeyId::random()).await.unwrap();
    assert_eq!(store.user_of_key(KeyHash::of("mine")).await.unwrap().as_ref(), Some(&ada));
    let removed = store.remove_key(ada.id, mine.id).await.unwrap();
    let again = store.remove_key(ada.id, mine.id).await.unwrap();

    assert_eq!((by_another, unknown, removed, again), (false, false, true, false));
    assert_eq!(store.user_of_key(KeyHash::of("mine")).await.unwrap(), None);
    assert_eq!(store.keys_of(ada.id).await.unwrap(), []);
}

#[apply(each_database)]
async fn of_many_keys_that_are_made_at_once_no_more_are_kept_than_may_be(database: FreshDatabase) {
    let store = accounts::of(&database);
    let (ada, bob) = (added(&*store, "ada", &[]).await, added(&*store, "bob", &[]).await);

    let made = join_all((0..10).map(|n| store.add_key(new_key(&ada, &format!("{n}")), MOST))).await;

    let mut made: Vec<KeyId> = made.into_iter().filter_map(|key| key.unwrap()).map(|key| key.id).collect();
    assert_eq!(made.len(), MOST as usize);
    let mut kept: Vec<KeyId> = store.keys_of(ada.id).await.unwrap().iter().map(|key| key.id).collect();
    made.sort();
    kept.sort();
    assert_eq!(kept, made);
    key(&*store, &bob, "bob's").await;
}
