//! The outcome log's debts and its head.

use rstest::rstest;
use rstest_reuse::apply;
use task_data::shared_log::Head;
use task_data::store::Store;
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

const LOG: &str = "/data/outcomes.log";

fn head(generation: u32, committed: u64) -> Head {
    Head { generation, dev: u64::MAX, ino: 1 << 63, committed, tail_check: i64::MIN }
}

async fn owed(store: &dyn Store) -> Vec<TaskId> {
    store.unlogged(100).await.unwrap().iter().map(|task| task.id).collect()
}

#[apply(each_database)]
async fn what_has_ended_is_owed_oldest_end_first(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    pending(&*store).await;
    running(&*store).await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(succeeded(&*store).await);
    }
    let cancelled = pending(&*store).await;
    store.cancel(cancelled, RULES).await.unwrap();
    ended.push(cancelled);

    assert_eq!(owed(&*store).await, ended);
    let two: Vec<TaskId> = store.unlogged(2).await.unwrap().iter().map(|task| task.id).collect();
    assert_eq!(two, ended[..2]);
}

#[apply(each_database)]
async fn a_head_is_found_as_it_was_begun(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), None);

    let begun = store.begin_log(LOG.to_owned(), None, head(1, 0)).await.unwrap();

    assert!(begun);
    assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), Some(head(1, 0)));
    assert_eq!(store.log_head("/data/other.log".to_owned()).await.unwrap(), None);
}

#[apply(each_database)]
async fn a_generation_begins_only_in_the_place_of_the_one_that_was_seen(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    store.begin_log(LOG.to_owned(), None, head(1, 0)).await.unwrap();

    let without_a_look = store.begin_log(LOG.to_owned(), None, head(2, 0)).await.unwrap();
    let after_another = store.begin_log(LOG.to_owned(), Some(7), head(8, 0)).await.unwrap();
    let unchanged = store.log_head(LOG.to_owned()).await.unwrap();
    let as_seen = store.begin_log(LOG.to_owned(), Some(1), head(2, 0)).await.unwrap();
    let too_late = store.begin_log(LOG.to_owned(), Some(1), head(3, 0)).await.unwrap();

    assert_eq!((without_a_look, after_another, as_seen, too_late), (false, false, true, false));
    assert_eq!(unchanged, Some(head(1, 0)));
    assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), Some(head(2, 0)));
}

#[apply(each_database)]
async fn a_commit_marks_what_was_written_and_moves_the_head(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    store.begin_log(LOG.to_owned(), None, head(1, 0)).await.unwrap();
    let (written, still_owed) = (succeeded(&*store).await, succeeded(&*store).await);

    let moved = store.commit_log(LOG.to_owned(), vec![written], head(1, 80)).await.unwrap();

    assert!(moved);
    assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), Some(head(1, 80)));
    assert_eq!(owed(&*store).await, [still_owed]);
    assert!(stands(&*store, written).await.is_logged);
}

#[apply(each_database)]
async fn a_late_commit_moves_no_head_and_marks_all_the_same(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    store.begin_log(LOG.to_owned(), None, head(1, 0)).await.unwrap();
    store.begin_log(LOG.to_owned(), Some(1), head(2, 0)).await.unwrap();
    store.commit_log(LOG.to_owned(), vec![], head(2, 80)).await.unwrap();
    for late in [head(1, 900), head(2, 80), head(2, 40), head(3, 900)] {
        let written = succeeded(&*store).await;

        let moved = store.commit_log(LOG.to_owned(), vec![written], late).await.unwrap();

        assert!(!moved, "{late:?}");
        assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), Some(head(2, 80)), "{late:?}");
        assert!(stands(&*store, written).await.is_logged, "{late:?}");
    }
    assert_eq!(owed(&*store).await, []);
}

#[apply(each_database)]
async fn logs_have_heads_of_their_own(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let other = "/data/other.log".to_owned();
    store.begin_log(LOG.to_owned(), None, head(1, 0)).await.unwrap();
    store.begin_log(other.clone(), None, head(1, 0)).await.unwrap();

    store.commit_log(other.clone(), vec![], head(1, 80)).await.unwrap();

    assert_eq!(store.log_head(LOG.to_owned()).await.unwrap(), Some(head(1, 0)));
    assert_eq!(store.log_head(other).await.unwrap(), Some(head(1, 80)));
}
