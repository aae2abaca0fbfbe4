//! The parts that survive a crash (the database, the blobs, the log), and the processes that come and go over them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use database::Sqlite;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use limits::local::LocalLimits;
use program::Keep;
use task_data::blobs::folder::BlobFolder;
use task_data::kinds::Kind;
use task_data::kinds::md5::Input;
use task_data::life::Life;
use task_data::notify::local::LocalNotify;
use task_data::queue::{Queue, memory::MemoryQueue};
use task_data::settings::Settings;
use task_data::stack::Stack;
use task_data::store::{Feed, Filter, Followers, Leases, Tasks};
use task_data::task::{Task, WorkerId};
use tempfile::TempDir;

use crate::cut::Wire;
use test_kit::eventually;

/// The most bytes of an upload in its row; a larger one becomes a blob.
pub const INLINE_BYTES: u64 = 8;

/// Returns the input of an upload of that name.
pub fn named(filename: &str) -> Input {
    Input { filename: Some(filename.to_owned()), size: 1, content_type: None, expected: None }
}

pub struct World {
    store: Arc<Sqlite>,
    blobs: Arc<BlobFolder>,
    folder: TempDir,
}

/// One process, whose memory is gone with it.
pub struct Process {
    pub life: Arc<Life>,
    pub stack: Stack,
    pub wire: Arc<Wire>,
    /// Its queue, off the wire.
    pub queue: Arc<dyn Queue>,
}

impl World {
    pub fn new() -> Self {
        // In memory where there is such a place: processes crash here, the machine doesn't, so no fsync is missed.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("coatcheck.db")).unwrap());
        let blobs = Arc::new(BlobFolder::open(folder.path().join("blobs")).unwrap());
        Self { store, blobs, folder }
    }

    pub fn settings(&self) -> Settings {
        let path = self.folder.path().display();
        Settings {
            database_url: format!("sqlite:{path}/coatcheck.db"),
            amqp_url: "memory:".to_owned(),
            redis_url: None,
            blob_url: format!("file:{path}/blobs"),
            inline_bytes: INLINE_BYTES,
            outcome_log: format!("{path}/outcomes.log"),
            outcome_log_name: None,
            lease_seconds: Duration::from_secs(3600),
            max_attempts: 5,
            sweep_seconds: Duration::from_secs(1),
            orphan_seconds: Duration::ZERO,
            keep_uploads: false,
            keep_failed_uploads: Duration::ZERO,
            keep_succeeded: Keep::Forever,
            keep_failed: Keep::Forever,
            keep_cancelled: Keep::Forever,
        }
    }

    /// Starts a process on the current runtime, with its ports on that wire.
    pub fn start(&self, wire: Arc<Wire>) -> Process {
        self.start_with(wire, self.settings())
    }

    pub fn start_with(&self, wire: Arc<Wire>, settings: Settings) -> Process {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let stack = Stack {
            store: self.store.clone(),
            queue: queue.clone(),
            blobs: self.blobs.clone(),
            notify: Arc::new(LocalNotify::new()),
            limits: Arc::new(LocalLimits::new()),
        };
        let stack = wire.through(&stack);
        Process { life: Life::start(stack.clone(), settings).unwrap(), stack, wire, queue }
    }

    /// Returns all tasks as they are now, off the wire.
    pub async fn tasks(&self) -> Vec<Task> {
        self.store.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap().tasks
    }

    /// Returns whether an outcome comes after the log's place in the feed.
    pub async fn lines_are_due(&self) -> bool {
        let path = self.folder.path().join("outcomes.log");
        let name = self.settings().log_name(&path).unwrap().name;
        let log = self.store.log(name).await.unwrap();
        let place = log.map(|(log, _)| log.head.place).unwrap_or_default();
        !self.store.outcomes(place, None, 1).await.unwrap().outcomes.is_empty()
    }

    /// Reads the outcome log; empty until it exists.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("outcomes.log")).unwrap_or_default()
    }

    /// Returns the number of blob files, finished or not.
    pub fn count_blobs(&self) -> usize {
        count_files(&self.folder.path().join("blobs"))
    }

    /// Lets a day pass for the database: all waiting tasks are due, and every lease has lapsed.
    pub fn let_a_day_pass(&self) {
        let path = self.folder.path().join("coatcheck.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let sql = "PRAGMA busy_timeout = 5000; UPDATE workers SET lease_until = lease_until - 86400000000; \
                   UPDATE tasks SET sweep_at = sweep_at - 86400000000 WHERE finished IS NULL;";
        connection.batch_execute(sql).unwrap();
    }

    /// Waits until that many pending tasks are marked as published.
    pub async fn until_published(&self, count: usize) {
        eventually("so many are marked", async || {
            let published = self.store.published_before(Kind::Md5, Duration::ZERO, 1000);
            (published.await.unwrap().len() == count).then_some(())
        })
        .await;
    }

    /// Lets the lease of one worker lapse.
    pub async fn lapse(&self, worker: WorkerId) {
        self.store.beat(worker, Duration::ZERO).await.unwrap();
    }
}

fn count_files(folder: &Path) -> usize {
    let count = |file: fs::DirEntry| match file.file_type().unwrap().is_dir() {
        true => count_files(&file.path()),
        false => 1,
    };
    fs::read_dir(folder).unwrap().map(|file| count(file.unwrap())).sum()
}
