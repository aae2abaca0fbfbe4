//! Statistics: each task is counted once where it was accepted and once where it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::kinds::Kind;
use task_data::store::{Counts, NewTask, Store};
use task_data::task::Time;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;
use crate::small;

/// Longer than any test.
const SPAN: i64 = 86_400;

/// Numbers and counts all that has ended, `limit` outcomes at a time.
async fn count(store: &dyn Store, limit: i64) {
    store.number_outcomes(1000).await.unwrap();
    while store.count_outcomes(limit).await.unwrap() == Some(limit) {}
}

/// Returns the days around a time: a test may run at midnight.
fn around(time: Time) -> (Time, Time) {
    let day = chrono::TimeDelta::days(1);
    (Time(time.0 - day), Time(time.0 + day))
}

/// Returns the counts of each kind, of all minutes together.
async fn counts(store: &dyn Store) -> BTreeMap<String, Counts> {
    let (from, to) = around(store.now().await.unwrap());
    let mut all: BTreeMap<String, Counts> = BTreeMap::new();
    for minute in store.minutes(from, to).await.unwrap() {
        assert_eq!(minute.minute.0.timestamp_micros() % 60_000_000, 0);
        all.entry(minute.kind).or_default().add(&minute.counts);
    }
    all
}

/// Returns the number of accepted, succeeded, failed and cancelled ones.
fn numbers(counts: &Counts) -> [i64; 4] {
    [counts.accepted, counts.succeeded, counts.failed, counts.cancelled]
}

#[apply(each_database)]
async fn each_end_is_counted_by_its_status_and_its_kind(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    one_of_each(store).await;
    let small = small::read(store).await;
    store.complete(vec![success(&small)], RULES).await.unwrap();
    let message = NewTask { kind: Kind::Message, ..new_task() };
    store.insert(vec![message.clone()], NOW).await.unwrap();
    store.cancel(message.id, RULES).await.unwrap();

    count(store, 1000).await;

    let counts = counts(store).await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["md5", "message"]);
    assert_eq!(numbers(&counts["md5"]), [4, 2, 1, 1]);
    assert_eq!(numbers(&counts["message"]), [1, 0, 0, 1]);
    // The cancelled one has neither waited for its work nor done it.
    assert!(counts["md5"].waits.quantile(1.0) < Some(Duration::from_secs(3600)));
    assert!(counts["md5"].works.quantile(0.5).is_some());
    assert_eq!((counts["message"].waits.quantile(0.5), counts["message"].works.quantile(0.5)), (None, None));
    let (from, to) = around(store.now().await.unwrap());
    let unended = store.unended(from, to, SPAN).await.unwrap();
    // The pending and the running one.
    assert_eq!(
        unended.iter().map(|unended| (&*unended.kind, unended.tasks)).map(|(_, tasks)| tasks).sum::<i64>(),
        2
    );
}

#[apply(each_database)]
async fn an_end_is_counted_once_however_many_count_at_once_and_in_whatever_pieces(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    for _ in 0..10 {
        let ids = join_all((0..7).map(|_| pending(&*store))).await;
        let claims = store.claim(ids, worker).await.unwrap().claimed;
        store.complete(claims.iter().map(success).collect(), RULES).await.unwrap();
    }

    let rivals = (1..=6).map(|limit| {
        let store = store.clone();
        tokio::spawn(async move { count(&*store, limit).await })
    });
    join_all(rivals).await.into_iter().for_each(|rival| rival.unwrap());
    count(&*store, 3).await;

    assert_eq!(numbers(&counts(&*store).await["md5"]), [70, 70, 0, 0]);
    count(&*store, 1000).await;
    assert_eq!(numbers(&counts(&*store).await["md5"]), [70, 70, 0, 0]);
}

#[apply(each_database)]
async fn only_the_minutes_that_are_asked_for_are_returned(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let id = succeeded(store).await;
    count(store, 10).await;
    let created = stands(store, id).await.created;
    let (from, to) = around(created);

    assert_eq!(store.minutes(from, Time(created.0 - chrono::TimeDelta::hours(1))).await.unwrap(), []);
    assert_eq!(store.minutes(Time(created.0 + chrono::TimeDelta::hours(1)), to).await.unwrap(), []);
    assert!(!store.minutes(from, to).await.unwrap().is_empty());
}
