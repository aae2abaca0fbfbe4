//! The audit: entries are kept as they were added, and read newest first.

use accounts::audit::{Act, NewEntry};
use accounts::user::UserId;
use rstest::rstest;
use rstest_reuse::apply;
use test_kit::{FreshDatabase, each_database};

pub fn entry(act: Act) -> NewEntry {
    NewEntry {
        user: Some(UserId::random()),
        who: "ada".to_owned(),
        act,
        target: "md5".to_owned(),
        detail: None,
    }
}

#[apply(each_database)]
async fn entries_are_read_newest_first_page_by_page(database: FreshDatabase) {
    let store = accounts::of(&database);
    let added = [
        entry(Act::Pause),
        NewEntry { user: None, detail: Some("because".to_owned()), ..entry(Act::Resume) },
        entry(Act::Drain),
    ];
    for new in added.clone() {
        store.add_entry(new).await.unwrap();
    }

    let first = store.entries(None, 2).await.unwrap();
    let second = store.entries(first.last().map(|entry| entry.id), 2).await.unwrap();

    let read: Vec<_> = first.iter().chain(&second).rev().collect();
    assert_eq!((first.len(), second.len()), (2, 1));
    for (new, entry) in added.iter().zip(&read) {
        let NewEntry { user, who, act, target, detail } = new;
        assert_eq!((&entry.user, &entry.who, &*entry.act), (user, who, act.name()));
        assert_eq!((&entry.target, &entry.detail), (target, detail));
    }
    assert!(read.is_sorted_by_key(|entry| (entry.id, entry.at)));
}
