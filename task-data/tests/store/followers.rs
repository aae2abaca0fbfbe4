//! The followers of the feed.

use rstest::rstest;
use rstest_reuse::apply;
use task_data::shared_log::Head;
use task_data::store::{LogFollower, LogHead, Place, Store};
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

pub const NAME: &str = "host:/data/outcomes.log";

/// A head whose numbers don't fit into signed ones.
pub fn head(version: u64) -> LogHead {
    let place = Place { no: 17, within: 3 };
    Head { version, dev: u64::MAX, ino: 1 << 63, committed: 80, tail_check: i64::MIN, place, ahead: vec![] }
}

pub fn log(head: LogHead) -> LogFollower {
    LogFollower { name: NAME.to_owned(), location: NAME.to_owned(), head }
}

async fn stored(store: &dyn Store, name: &str) -> Option<LogFollower> {
    store.log(name.to_owned()).await.unwrap().map(|(log, _)| log)
}

#[apply(each_database)]
async fn a_log_is_found_as_it_was_stored(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    assert_eq!(stored(&*store, NAME).await, None);
    let ahead = vec![TaskId::random(), TaskId::random()];
    let log = log(LogHead { ahead, ..head(1) });

    assert!(store.store_log(None, log.clone()).await.unwrap());

    let (found, seconds_ago) = store.log(NAME.to_owned()).await.unwrap().unwrap();
    assert_eq!(found, log);
    assert!((0..60).contains(&seconds_ago), "{seconds_ago}");
    assert_eq!(stored(&*store, "host:/data/other.log").await, None);
}

#[apply(each_database)]
async fn a_head_is_stored_only_in_the_place_of_the_one_that_was_seen(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    assert!(!store.store_log(Some(1), log(head(2))).await.unwrap());
    assert_eq!(stored(&*store, NAME).await, None);
    store.store_log(None, log(head(1))).await.unwrap();

    let without_a_look = store.store_log(None, log(head(7))).await.unwrap();
    let after_another = store.store_log(Some(7), log(head(8))).await.unwrap();
    let unchanged = stored(&*store, NAME).await;
    let as_seen = store.store_log(Some(1), log(head(2))).await.unwrap();
    let too_late = store.store_log(Some(1), log(head(3))).await.unwrap();

    assert_eq!((without_a_look, after_another, as_seen, too_late), (false, false, true, false));
    assert_eq!(unchanged, Some(log(head(1))));
    assert_eq!(stored(&*store, NAME).await, Some(log(head(2))));
}

#[apply(each_database)]
async fn logs_have_heads_of_their_own(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let other = LogFollower { name: "another".to_owned(), ..log(head(1)) };
    store.store_log(None, log(head(1))).await.unwrap();
    store.store_log(None, other.clone()).await.unwrap();

    store.store_log(Some(1), log(head(2))).await.unwrap();

    assert_eq!(stored(&*store, NAME).await, Some(log(head(2))));
    assert_eq!(stored(&*store, "another").await, Some(other));
}

#[apply(each_database)]
async fn a_log_is_renamed_once_and_takes_no_name_from_another(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let old = LogFollower { name: "/data/outcomes.log".to_owned(), ..log(head(5)) };
    store.store_log(None, old.clone()).await.unwrap();

    assert!(store.rename_log(old.name.clone(), log(head(1))).await.unwrap());
    assert!(!store.rename_log(old.name.clone(), log(head(1))).await.unwrap());
    assert_eq!((stored(&*store, &old.name).await, stored(&*store, NAME).await), (None, Some(log(head(1)))));

    store.store_log(None, old.clone()).await.unwrap();
    assert!(!store.rename_log(old.name.clone(), log(head(2))).await.unwrap());
    assert_eq!(
        (stored(&*store, &old.name).await, stored(&*store, NAME).await),
        (Some(old), Some(log(head(1))))
    );
}

/// As `shared_log` asks.
#[apply(each_database)]
async fn places_of_tasks_are_found(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(succeeded(&*store).await);
    }
    let open = pending(&*store).await;
    while store.number_outcomes(100).await.unwrap() != Some(0) {}
    let places: Vec<Place> = {
        let page = store.outcomes(Place::default(), None, 10).await.unwrap();
        page.outcomes.iter().map(|outcome| outcome.place).collect()
    };
    let asked = || vec![ids[2], open, ids[0], TaskId::random()];

    let after = async |place| {
        let mut after = store.those_after(place, asked()).await.unwrap();
        after.sort_unstable();
        after
    };
    assert_eq!(after(Place::default()).await, {
        let mut both = vec![ids[0], ids[2]];
        both.sort_unstable();
        both
    });
    assert_eq!(after(places[0]).await, [ids[2]]);
    assert_eq!(after(places[2]).await, []);
    let first = store.before_first(asked()).await.unwrap();
    assert!(first < places[0]);
    let second = store.before_first(vec![ids[2], ids[1]]).await.unwrap();
    assert!(places[0] <= second && second < places[1]);
    assert_eq!(store.before_first(vec![open]).await.unwrap(), Place::default());
}
