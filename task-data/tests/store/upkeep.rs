//! Whether a database takes writes, and its end.

use rstest::rstest;
use rstest_reuse::apply;
use task_data::store::{Store, StoreError};
use test_kit::{FreshDatabase, each_database};

#[apply(each_database)]
async fn a_write_is_tried_as_often_as_one_likes(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    for _ in 0..3 {
        look(&*store).await.unwrap();
    }
}

#[apply(each_database)]
async fn a_database_that_was_closed_is_neither_read_nor_written(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    look(&*store).await.unwrap();

    store.close().await.unwrap();

    assert!(look(&*store).await.is_err());
    assert!(store.now().await.is_err());
    // Once more is harmless.
    store.close().await.unwrap();
}

async fn look(store: &dyn Store) -> Result<(), StoreError> {
    store.free_bytes().await?;
    store.try_write().await
}
