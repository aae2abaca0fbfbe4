//! The progress of running tasks.

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

#[apply(each_database)]
async fn the_last_state_is_kept_while_the_task_runs_in_that_attempt(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let held = running(store).await;
    assert_eq!(store.progress(held.id).await.unwrap(), None);

    assert!(store.keep_progress(held.id, held.attempt, json!({"n": 1})).await.unwrap());
    assert!(store.keep_progress(held.id, held.attempt, json!({"n": 2})).await.unwrap());
    assert!(!store.keep_progress(held.id, held.attempt + 1, json!({"n": 3})).await.unwrap());
    assert_eq!(store.progress(held.id).await.unwrap(), Some(json!({"n": 2})));

    store.hand_back(vec![free_return(&held, NOW)], RULES).await.unwrap();
    assert!(!store.keep_progress(held.id, held.attempt, json!({"n": 4})).await.unwrap());
    let again = claim(store, held.id, worker(store).await).await;
    assert_eq!(store.progress(held.id).await.unwrap(), Some(json!({"n": 2})));
    assert!(store.keep_progress(held.id, again.attempt, json!({"n": 5})).await.unwrap());
    assert!(!store.keep_progress(held.id, held.attempt, json!({"n": 6})).await.unwrap());
    assert_eq!(store.progress(held.id).await.unwrap(), Some(json!({"n": 5})));
}
