//! Properties of SQLite alone: a file that people can read, and that another program may lock.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use database::Sqlite;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use futures::FutureExt;
use task_data::store::{Held, KeepUploads, Leases, NewTask, Payload, Rules, StoreError, Tasks, Upkeep};
use task_data::task::{Status, Task, TaskId};
use tempfile::TempDir;
use test_kit::eventually;

use crate::samples::*;

struct Database {
    store: Sqlite,
    path: PathBuf,
    _folder: TempDir,
}

impl Database {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coatcheck.db");
        Self { store: Sqlite::open(&path).unwrap(), path, _folder: folder }
    }

    /// Opens the file as another program does.
    fn connect(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.path.to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        connection
    }

    /// Counts the locks on the database's own file.
    fn locks(&self) -> usize {
        let file = format!(":{}", fs::metadata(&self.path).unwrap().ino());
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().filter(|lock| lock.split_whitespace().any(|word| word.ends_with(&file))).count()
    }

    fn count(&self, query: &str) -> i64 {
        diesel::sql_query(query).get_result::<Count>(&mut self.connect()).unwrap().count
    }
}

#[derive(Debug, PartialEq, QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    task_id: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    result: Option<String>,
}

#[tokio::test]
async fn a_look_at_the_size_leaves_the_locks_that_keep_other_programs_off() {
    let database = Database::new();
    database.store.try_write().await.unwrap();
    let before = database.locks();
    assert!(before > 0);

    assert!(database.store.size_bytes().await.unwrap() > 0);

    assert_eq!(database.locks(), before);
}

#[tokio::test]
async fn people_read_the_tasks_by_a_view() {
    let database = Database::new();
    let [_, _, succeeded, ..] = one_of_each(&database.store).await;

    let query = "SELECT lower(hex(task_id)) AS task_id, status, result FROM md5_tasks";
    let rows: Vec<Row> = diesel::sql_query(query).load(&mut database.connect()).unwrap();

    let expected = Row {
        task_id: succeeded.0.simple().to_string(),
        status: "succeeded".to_owned(),
        result: Some("abc".to_owned()),
    };
    assert!(rows.contains(&expected), "{rows:?}");
    let statuses = sorted(rows.into_iter().map(|row| row.status));
    assert_eq!(statuses, sorted(Status::ALL.map(|status| status.name().to_owned())));
}

#[tokio::test]
async fn a_status_that_is_none_is_refused_by_the_database_itself() {
    let database = Database::new();
    pending(&database.store).await;

    let outcome = database.connect().batch_execute("UPDATE tasks SET status = 'done'");

    assert!(outcome.unwrap_err().to_string().contains("CHECK"));
}

#[tokio::test]
async fn readers_are_not_in_the_way_of_the_writer() {
    let database = Database::new();
    let mut reader = database.connect();
    reader.batch_execute("BEGIN; SELECT count(*) FROM tasks;").unwrap();

    let id = pending(&database.store).await;

    assert_eq!(stands(&database.store, id).await.status, Status::Pending);
    reader.batch_execute("COMMIT").unwrap();
    assert_eq!(
        database.count("SELECT count(*) AS count FROM pragma_journal_mode WHERE journal_mode = 'wal'"),
        1
    );
}

#[tokio::test]
async fn the_upload_goes_with_the_end_unless_it_is_to_be_kept() {
    const WITH_CONTENT: &str = "SELECT count(*) AS count FROM tasks WHERE content IS NOT NULL";
    for (keep_uploads, kept) in
        [(KeepUploads::OfUnended, 0), (KeepUploads::OfFailed, 2), (KeepUploads::OfAll, 4)]
    {
        let database = Database::new();
        let store = &database.store;
        let rules = Rules { max_attempts: 1, keep_uploads };
        let (completed, exhausted) = (running(store).await, running(store).await);
        let lost = worker(store).await;
        claim(store, pending(store).await, lost).await;
        let cancelled = pending(store).await;
        assert_eq!(database.count(WITH_CONTENT), 4);

        store.complete(vec![success(&completed)], rules).await.unwrap();
        store.hand_back(vec![charged_return(&exhausted, NOW)], rules).await.unwrap();
        store.retire(lost).await.unwrap();
        store.return_lost(rules).await.unwrap();
        store.cancel(cancelled, rules).await.unwrap();

        assert_eq!(database.count("SELECT count(*) AS count FROM tasks WHERE finished IS NULL"), 0);
        assert_eq!(database.count(WITH_CONTENT), kept, "{keep_uploads:?}");
    }
}

#[tokio::test]
async fn a_beat_tells_of_what_has_run_for_long() {
    let database = Database::new();
    let store = &database.store;
    let worker = worker(store).await;
    let old = claim(store, pending(store).await, worker).await;
    database.connect().batch_execute("UPDATE tasks SET started = started - 11000000").unwrap();
    claim(store, pending(store).await, worker).await;

    let beat = store.beat(worker, LATER).await.unwrap();

    assert_eq!(
        beat.map(|beat| beat.held),
        Some(vec![Held { id: old.id, attempt: 1, cancel_requested: false }])
    );
}

#[tokio::test]
async fn rows_are_there_when_the_file_is_opened_anew() {
    let database = Database::new();
    let ids = one_of_each(&database.store).await;
    let before = database.store.find(ids.to_vec()).await.unwrap();
    let Database { store, path, _folder } = database;
    drop(store);

    let reopened = Sqlite::open(&path).unwrap();

    let by_id = |mut tasks: Vec<Task>| {
        tasks.sort_by_key(|task| task.id);
        tasks
    };
    assert_eq!(by_id(reopened.find(ids.to_vec()).await.unwrap()), by_id(before));
}

#[tokio::test]
async fn while_another_program_writes_nothing_is_written_and_the_next_call_is() {
    let database = Database::new();
    let mut other = database.connect();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let new = new_task();

    let outcome = database.store.insert(vec![new.clone()], NOW).await;
    other.batch_execute("COMMIT").unwrap();

    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(database.store.find(vec![new.id]).await.unwrap(), []);
    assert_eq!(database.store.insert(vec![new], NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_made_all_the_same() {
    let database = Database::new();
    let new = new_task();

    let _ = database.store.insert(vec![new.clone()], Duration::ZERO).now_or_never();

    eventually("the row is there", async || database.store.find(vec![new.id]).await.unwrap().pop()).await;
}

#[tokio::test]
async fn free_space_is_given_back_to_the_disk() {
    let database = Database::new();
    let pages = || database.count("SELECT page_count AS count FROM pragma_page_count");
    let free = || database.count("SELECT freelist_count AS count FROM pragma_freelist_count");
    let new: Vec<NewTask> =
        (0..400).map(|_| NewTask { payload: Payload::Inline(vec![7; 16_000]), ..new_task() }).collect();
    let ids: Vec<TaskId> = new.iter().map(|new| new.id).collect();
    database.store.insert(new, NOW).await.unwrap();
    // Their uploads go with their ends.
    for id in ids {
        database.store.cancel(id, RULES).await.unwrap();
    }

    let (before, used) = (pages(), pages() - free());
    while database.store.give_space_back(100).await.unwrap().is_some() {}

    assert!(free() <= 256 && pages() - free() <= used && pages() < before, "{before} -> {} pages", pages());
}
