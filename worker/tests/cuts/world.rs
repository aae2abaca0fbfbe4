//! The world that outlives a process: the database, the blobs, the log, and in the distributed stack the queue. All calls take effect here,
//! on a runtime that no cut ends.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use database::{Postgres, Sqlite};
use futures::future::BoxFuture;
use limits::local::LocalLimits;
use program::Keep;
use task_data::blobs::folder::BlobFolder;
use task_data::notify::local::LocalNotify;
use task_data::queue::{Queue, memory::MemoryQueue};
use task_data::settings::Settings;
use task_data::stack::Stack;
use task_data::store::{Filter, Place, Store};
use task_data::task::{Status, Task, TaskId, WorkerId};
use tempfile::TempDir;
use test_kit::{psql, servers};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::guards::Guard;
use crate::wire::Moment;

/// The most bytes of an upload in its row; a larger one becomes a blob.
pub const INLINE_BYTES: u64 = 8;

/// The name of SQLite's file.
const SQLITE: &str = "coatcheck.db";
/// The time by which all stored times are moved into the past to let time pass.
const A_DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// With a queue that goes with its process.
    Sqlite,
    /// With a queue that stays, as a broker does: deliveries without acknowledgement come again.
    Postgres,
}

/// A source of databases: SQLite's are copies of an empty one; worlds use PostgreSQL's one after the other.
pub struct Databases {
    pub database: Database,
    template: TempDir,
    url: Mutex<Option<String>>,
    outside: Runtime,
}

impl Databases {
    pub fn of(database: Database) -> Self {
        let outside = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let template = tempfile::tempdir().unwrap();
        let path = template.path().join(SQLITE);
        drop(Sqlite::open(&path).unwrap());
        // What is in the log goes to the database itself when its last connection is closed, on a thread of its own. Where two
        // are closed at once, neither is the last.
        while template.path().join(format!("{SQLITE}-wal")).exists() {
            thread::sleep(Duration::from_millis(5));
            drop(Sqlite::open(&path).unwrap());
        }
        Self { database, template, url: Mutex::default(), outside }
    }

    /// Makes a world in which nothing has happened.
    pub fn world(&self, removed: Option<Guard>) -> Arc<World> {
        // In memory where there is such a place: processes end here, the machine doesn't, so no fsync is missed.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let url = match self.database {
            Database::Sqlite => {
                let path = folder.path().join(SQLITE);
                fs::copy(self.template.path().join(SQLITE), &path).unwrap();
                format!("sqlite:{}", path.display())
            }
            Database::Postgres => {
                let url = self.postgres();
                psql(&url, "TRUNCATE feed, followers");
                url
            }
        };
        let outside = self.outside.handle().clone();
        let store = open(&outside, &url);
        Arc::new(World {
            database: self.database,
            url,
            removed,
            broker: Arc::new(MemoryQueue::new()),
            outside,
            store,
            folder,
            late: Mutex::default(),
            workers: Mutex::default(),
            claims: Mutex::default(),
            remains: Mutex::default(),
        })
    }

    /// Returns the URL of the shared database. Tasks of other worlds there are done and not in the feed any more, so they do not
    /// interfere; where they would, see `spoil`.
    fn postgres(&self) -> String {
        let mut url = self.url.lock().unwrap();
        url.get_or_insert_with(|| {
            let url = servers().database();
            // As above: no fsync is missed.
            let name = url.rsplit('/').next().unwrap();
            psql(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
            self.outside.block_on(async { Postgres::new(&url).unwrap().migrate().await.unwrap() });
            url
        })
        .clone()
    }

    /// Makes the next world use another database.
    pub fn spoil(&self) {
        *self.url.lock().unwrap() = None;
    }
}

fn open(outside: &Handle, url: &str) -> Arc<dyn Store> {
    let _entered = outside.enter();
    match url.strip_prefix("sqlite:") {
        Some(path) => Arc::new(Sqlite::open(Path::new(path)).unwrap()),
        None => Arc::new(Postgres::new(url).unwrap()),
    }
}

/// The effect of a dead process's call, once the server handles it.
type Late = Box<dyn FnOnce(&World) -> BoxFuture<'static, ()> + Send>;

pub struct World {
    pub database: Database,
    pub url: String,
    /// The guard that is missing in this world.
    pub removed: Option<Guard>,
    /// The rows, for the test itself.
    pub store: Arc<dyn Store>,
    /// The queue that stays.
    pub broker: Arc<MemoryQueue>,
    outside: Handle,
    folder: TempDir,
    late: Mutex<Vec<(Moment, Late)>>,
    workers: Mutex<Vec<WorkerId>>,
    /// Each claim so far: its attempt, and the tries before it.
    claims: Mutex<Vec<(i64, i32)>>,
    remains: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl World {
    /// Waits for an outside effect while the process stands still, so that its next step depends on no other clock.
    pub fn wait_for<T: Send + 'static>(&self, effect: impl Future<Output = T> + Send + 'static) -> T {
        let (answer, outcome) = mpsc::channel();
        self.outside.spawn(async move {
            let _ = answer.send(effect.await);
        });
        outcome.recv().expect("the effect has no panic")
    }

    /// Opens the ports of a new process.
    pub fn open(&self) -> Stack {
        let _entered = self.outside.enter();
        Stack {
            store: open(&self.outside, &self.url),
            queue: match self.database {
                Database::Sqlite => Arc::new(MemoryQueue::new()) as Arc<dyn Queue>,
                Database::Postgres => self.broker.clone(),
            },
            blobs: Arc::new(BlobFolder::open(self.blobs()).unwrap()),
            notify: Arc::new(LocalNotify::new()),
            limits: Arc::new(LocalLimits::new()),
        }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            database_url: self.url.clone(),
            amqp_url: "memory:".to_owned(),
            redis_url: None,
            blob_url: format!("file:{}", self.blobs().display()),
            inline_bytes: INLINE_BYTES,
            outcome_log: self.log().display().to_string(),
            outcome_log_name: None,
            // Nothing beats or sweeps by the clock: the test decides when.
            lease_seconds: A_DAY / 2,
            max_attempts: 5,
            sweep_seconds: A_DAY,
            orphan_seconds: A_DAY / 2,
            keep_uploads: false,
            keep_failed_uploads: Duration::ZERO,
            keep_succeeded: Keep::Forever,
            keep_failed: Keep::Forever,
            keep_cancelled: Keep::Forever,
        }
    }

    pub fn blobs(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("outcomes.log")
    }

    /// Renames the log, if there is one.
    pub fn rotate_log(&self) {
        if self.log().exists() {
            fs::rename(self.log(), self.log().with_added_extension("1")).unwrap();
        }
    }

    /// Returns the lines of the log, after those of the one that it was renamed to.
    pub fn lines(&self) -> String {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        text(self.log().with_added_extension("1")) + &text(self.log())
    }

    /// Returns the task as it is now.
    pub fn task(&self, id: TaskId) -> Option<Task> {
        let store = self.store.clone();
        self.wait_for(async move { store.find(vec![id]).await.unwrap().pop() })
    }

    /// Returns whether the log's place in the feed is known to be after that task's outcome.
    pub fn is_logged(&self, id: TaskId) -> bool {
        let (store, log) = (self.store.clone(), self.settings().log_name(&self.log()).unwrap());
        self.wait_for(async move {
            let Some((log, _)) = store.log(log.name).await.unwrap() else { return false };
            let is_placed = !store.those_after(Place::default(), vec![id]).await.unwrap().is_empty();
            let is_due = !store.those_after(log.head.place, vec![id]).await.unwrap().is_empty();
            is_placed && (!is_due || log.head.ahead.contains(&id))
        })
    }

    /// Returns all blobs and parts.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = |folder: &Path| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files(&self.blobs()).flat_map(|folder| files(&folder).collect::<Vec<_>>()).collect()
    }

    /// Postpones the call of a dead process to a later moment, at which the server executes it.
    pub fn postpone(&self, moment: Moment, late: Late) {
        self.late.lock().unwrap().push((moment, late));
    }

    /// Lets the calls due at that moment take effect; at `Rest`, all that are left.
    pub async fn arrive(&self, moment: Moment) {
        let due: Vec<(Moment, Late)> = {
            let mut late = self.late.lock().unwrap();
            let is_due = |(at, _): &mut (Moment, Late)| moment == Moment::Rest || *at == moment;
            late.extract_if(.., is_due).collect()
        };
        for (_, late) in due {
            late(self).await;
        }
    }

    /// Notes a worker that wants a lease.
    pub fn note_worker(&self, worker: WorkerId) {
        self.workers.lock().unwrap().push(worker);
    }

    /// Returns all workers that ever wanted a lease, the last one last.
    pub fn workers(&self) -> Vec<WorkerId> {
        self.workers.lock().unwrap().clone()
    }

    /// Notes a claim's attempt and the tries before it, or that of small work, at its end.
    pub fn note_claim(&self, attempt: i64, tries: i32) {
        self.claims.lock().unwrap().push((attempt, tries));
    }

    /// Returns the claims in order.
    pub fn claims(&self) -> Vec<(i64, i32)> {
        self.claims.lock().unwrap().clone()
    }

    /// Keeps the memory of a killed process from its destructors.
    pub fn bury(&self, remains: Vec<Box<dyn Any + Send>>) {
        self.remains.lock().unwrap().extend(remains);
    }

    /// Lets time pass: the leases of all but `alive` lapse, waiting tasks are due, no file is young, and no dead process locks a part any
    /// more.
    pub fn let_time_pass(&self, alive: Option<WorkerId>) {
        let (store, workers) = (self.store.clone(), self.workers());
        self.wait_for(async move {
            for worker in workers.into_iter().filter(|worker| Some(*worker) != alive) {
                store.beat(worker, Duration::ZERO).await.unwrap();
            }
            let pending = Filter { statuses: vec![Status::Pending], limit: 1000, ..Filter::default() };
            let pending = store.list(pending).await.unwrap().tasks;
            store.due_again(pending.into_iter().map(|task| task.id).collect()).await.unwrap();
        });
        for path in self.files() {
            if path.parent().is_some_and(|folder| folder.ends_with("tmp")) {
                // The dead live on in this process, and so would their locks.
                let copy = path.with_extension("copy");
                fs::copy(&path, &copy).unwrap();
                fs::rename(copy, &path).unwrap();
            }
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - A_DAY).unwrap();
        }
    }

    pub fn a_day_before(time: task_data::task::Time) -> task_data::task::Time {
        task_data::task::Time(time.0 - A_DAY)
    }
}
