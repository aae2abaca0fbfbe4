//! Users: a name is one user's, and rights come and go.

use std::collections::BTreeSet;

use futures::future::join_all;
use task_data::password::Passwords;
use task_data::store::{NewUser, Store};
use task_data::user::{Right, User, UserId, Username};

pub async fn new_user(username: &str, rights: &[Right]) -> NewUser {
    let rights = rights.iter().copied().collect();
    let user = User { id: UserId::random(), username: username.parse().unwrap(), rights };
    let password = username.repeat(8).parse().unwrap();
    NewUser { user, password_hash: Passwords::default().hash(password).await.unwrap() }
}

pub async fn added(store: &dyn Store, username: &str, rights: &[Right]) -> User {
    let new = new_user(username, rights).await;
    assert!(store.add_user(new.clone()).await.unwrap());
    new.user
}

fn name(username: &str) -> Username {
    username.parse().unwrap()
}

on_each_store!(a_user_is_found_by_his_id_and_by_his_name, |store| async move {
    let new = new_user("Ada 🧥", &[Right::Admin, Right::Paid]).await;
    assert!(store.add_user(new.clone()).await.unwrap());
    added(&*store, "Bob", &[]).await;

    let by_id = store.user(new.user.id).await.unwrap();
    let by_name = store.login(name("Ada 🧥")).await.unwrap();

    assert_eq!(by_id, Some(new.user.clone()));
    assert_eq!(by_name, Some((new.user.id, new.password_hash)));
    assert_eq!(store.user(UserId::random()).await.unwrap(), None);
    assert_eq!(store.login(name("Ada")).await.unwrap(), None);
});

on_each_store!(a_name_is_one_users_and_its_case_counts, |store| async move {
    let first = added(&*store, "ada", &[]).await;

    let second = new_user("ada", &[Right::Admin]).await;
    let taken = store.add_user(second.clone()).await.unwrap();
    added(&*store, "Ada", &[]).await;

    assert!(!taken);
    assert_eq!(store.login(name("ada")).await.unwrap().map(|(id, _)| id), Some(first.id));
    assert_eq!(store.user(second.user.id).await.unwrap(), None);
});

on_each_store!(of_many_who_want_a_name_at_once_one_has_it, |store| async move {
    let new = new_user("ada", &[Right::Paid]).await;
    let attempts = (0..10).map(|_| {
        let user = User { id: UserId::random(), ..new.user.clone() };
        store.add_user(NewUser { user, ..new.clone() })
    });

    let outcomes = join_all(attempts).await;

    assert_eq!(outcomes.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    let (id, _) = store.login(name("ada")).await.unwrap().unwrap();
    assert_eq!(store.user(id).await.unwrap().unwrap().rights, BTreeSet::from([Right::Paid]));
});

on_each_store!(rights_are_granted_and_revoked_again_and_again, |store| async move {
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

    assert_eq!(both.rights, BTreeSet::from(Right::ALL));
    assert_eq!(store.user(other.id).await.unwrap(), Some(other));
});

on_each_store!(nobody_has_rights, |store| async move {
    assert_eq!(store.grant(UserId::random(), Right::Paid).await.unwrap(), None);
    assert_eq!(store.revoke(UserId::random(), Right::Paid).await.unwrap(), None);
});
