//! Rows of kinds that only a newer version knows: shown to holders of their tickets, and otherwise left to that version.

use database::{Postgres, Sqlite};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use task_data::idempotency::Idempotency;
use task_data::kinds::{Kind, RowKind};
use task_data::store::{Cancel, Filter, NewTask, Place, Store};
use task_data::task::{Status, Task, TaskId};

use crate::samples::*;
use test_kit::{psql, servers};

const NEWER: &str = "UPDATE tasks SET kind = 'later', worker = NULL, published_at = created";

#[tokio::test]
async fn a_row_of_a_newer_kind_is_left_alone_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coatcheck.db");
    let store = Sqlite::open(&path).unwrap();
    let sql = |statement: &str| {
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {statement}")).unwrap();
    };
    is_left_alone(&store, sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_a_newer_kind_is_left_alone_postgres() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    is_left_alone(&store, |statement| drop(psql(&url, statement))).await;
}

async fn rows(store: &dyn Store, ids: [TaskId; 5]) -> Vec<Task> {
    let mut rows = store.find(ids.to_vec()).await.unwrap();
    rows.sort_by_key(|task| task.id);
    rows
}

async fn is_left_alone(store: &dyn Store, sql: impl Fn(&str)) {
    let newer = one_of_each(store).await;
    let [pending_one, running_one, ended @ ..] = newer;
    let keyed = NewTask {
        idempotency: Some(Idempotency { key: "a-key".parse().unwrap(), content_sha256: [7; 32] }),
        ..new_task()
    };
    store.insert(vec![keyed.clone()], LATER).await.unwrap();
    sql(NEWER);
    let before = rows(store, newer).await;
    let known = pending(store).await;
    let worker = worker(store).await;

    // By its ticket it is shown.
    assert_eq!(before.len(), 5);
    assert!(before.iter().all(|task| task.kind == RowKind::Newer("later".to_owned())));
    assert_eq!(store.keyed(vec![keyed.owned_key().unwrap()]).await.unwrap()[0].task.id, keyed.id);
    // For everything else the row does not exist, and it delays nothing.
    let listed = |filter: Filter| async move {
        ids(&store.list(Filter { limit: 100, ..filter }).await.unwrap().tasks)
    };
    assert_eq!(listed(Filter::default()).await, [known]);
    assert_eq!(listed(Filter { with_newer: true, ..Filter::default() }).await.len(), 7);
    assert_eq!(due_now(store).await, [known]);
    assert_eq!(store.unqueued(Kind::Md5, 100, NOW).await.unwrap(), [known]);
    assert_eq!(store.published_before(Kind::Md5, NOW, 100).await.unwrap(), []);
    assert_eq!(store.stats(Kind::Md5).await.unwrap().pending, 1);
    assert_eq!(store.return_lost(RULES).await.unwrap(), []);
    // Nothing touches it.
    let claims = store.claim(newer.to_vec(), worker).await.unwrap();
    assert_eq!((claims.claimed, claims.lease_is_live), (vec![], true));
    for id in [pending_one, running_one] {
        assert_eq!(store.cancel(id, RULES).await.unwrap(), Cancel::Newer(stands(store, id).await));
    }
    for id in ended {
        assert_eq!(store.cancel(id, RULES).await.unwrap(), Cancel::Ended(stands(store, id).await));
    }
    assert_eq!(rows(store, newer).await, before);
    // Its end is told, as far as it is understood: no reader of the feed misses it.
    while store.number_outcomes(100).await.unwrap() != Some(0) {}
    let outcomes = store.outcomes(Place::before(1), None, 100).await.unwrap().outcomes;
    let told: Vec<_> = outcomes.iter().map(|outcome| (outcome.status, outcome.detail.as_deref())).collect();
    let [cancelled, failed] = [(Status::Cancelled, Some("-")), (Status::Failed, Some("blob-missing"))];
    assert_eq!(told, [cancelled, failed, (Status::Succeeded, None)]);
    // It is counted: two that have not ended, and the one with a key.
    assert_eq!(store.newer_kinds().await.unwrap(), [("later".to_owned(), 3)]);
}

fn ids(tasks: &[Task]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}
