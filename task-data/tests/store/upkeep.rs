//! Whether a database takes writes, and its end.

use task_data::store::StoreError;

use crate::support::Everything;

on_each_store!(a_write_is_tried_as_often_as_one_likes, |store| async move {
    for _ in 0..3 {
        look(&*store).await.unwrap();
    }
});

on_each_store!(a_database_that_was_closed_is_neither_read_nor_written, |store| async move {
    look(&*store).await.unwrap();

    store.close().await.unwrap();

    assert!(look(&*store).await.is_err());
    assert!(store.now().await.is_err());
    // Once more is harmless.
    store.close().await.unwrap();
});

async fn look(store: &dyn Everything) -> Result<(), StoreError> {
    store.free_bytes().await?;
    store.try_write().await
}
