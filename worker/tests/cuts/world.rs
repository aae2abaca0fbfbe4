//! The world that outlives a process: the database, the blobs, the log, and in the distributed stack the queue. All calls take effect here,
//! on a runtime that no cut ends.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use bytes::Bytes;
use database::{Postgres, Sqlite};
use futures::future::BoxFuture;
use limits::local::LocalLimits;
use program::Keep;
use serde_json::json;
use task_data::blobs::Blobs;
use task_data::blobs::folder::BlobFolder;
use task_data::kinds::Kind;
use task_data::notify::local::LocalNotify;
use task_data::queue::{Queue, memory::MemoryQueue};
use task_data::settings::Settings;
use task_data::stack::{Remains, Stack};
use task_data::store::{Claim, Completion, Filter, NewTask, Payload, Place, Store};
use task_data::task::{Status, Task, TaskError, TaskId, WorkerId};
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
/// The age at which retention deletes what it does not keep: an upload of a failed task that is kept for no time at all goes with its end.
const AT_ONCE: Duration = Duration::from_micros(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// With a queue that goes with its process.
    Sqlite,
    /// With a queue that stays, as a broker does: deliveries without acknowledgement come again.
    Postgres,
}

/// The tasks and uploads that retention keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    All,
    NoSucceeded,
    /// Uploads can't be read, so their tasks fail.
    NoFailed,
    /// Likewise; the tasks are kept, and their uploads go.
    NoFailedUploads,
}

impl Keeps {
    pub fn all_fail(self) -> bool {
        matches!(self, Self::NoFailed | Self::NoFailedUploads)
    }

    pub fn deletes_the_task(self) -> bool {
        matches!(self, Self::NoSucceeded | Self::NoFailed)
    }
}

/// A task that had ended before anything happened, and that is kept: one that has failed, with its upload, where those that succeed are
/// deleted; else one that has succeeded.
pub struct Neighbour {
    pub task: Task,
    pub has_upload: bool,
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
    pub fn world(&self, removed: Option<Guard>, keeps: Keeps) -> Arc<World> {
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
                if keeps != Keeps::All {
                    psql(&url, "DELETE FROM tasks");
                }
                url
            }
        };
        let outside = self.outside.handle().clone();
        let store = open(&outside, &url);
        let mut world = World {
            database: self.database,
            url,
            removed,
            keeps,
            neighbour: None,
            broker: Arc::new(MemoryQueue::new()),
            outside,
            store,
            folder,
            late: Mutex::default(),
            workers: Mutex::default(),
            claims: Mutex::default(),
            remains: Mutex::default(),
        };
        if keeps != Keeps::All {
            world.neighbour = Some(world.make_neighbour());
        }
        Arc::new(world)
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
    pub keeps: Keeps,
    /// `None` where all is kept.
    pub neighbour: Option<Neighbour>,
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
        let keep = |goes: Keeps| if self.keeps == goes { Keep::For(AT_ONCE) } else { Keep::Forever };
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
            max_attempts: if self.keeps.all_fail() { 1 } else { 5 },
            sweep_seconds: A_DAY,
            orphan_seconds: A_DAY / 2,
            keep_uploads: false,
            keep_failed_uploads: match self.keeps {
                Keeps::All => Duration::ZERO,
                Keeps::NoFailedUploads => AT_ONCE,
                Keeps::NoSucceeded | Keeps::NoFailed => 365 * A_DAY,
            },
            keep_succeeded: keep(Keeps::NoSucceeded),
            keep_failed: keep(Keeps::NoFailed),
            keep_cancelled: Keep::Forever,
        }
    }

    /// Makes the neighbour, by calls that no cut concerns.
    fn make_neighbour(&self) -> Neighbour {
        let (store, rules, has_upload) =
            (self.store.clone(), self.settings().rules(), !self.keeps.all_fail());
        let blobs = BlobFolder::open(self.blobs()).unwrap();
        let task = self.wait_for(async move {
            let (id, worker, since) = (TaskId::random(), WorkerId::random(), store.now().await.unwrap());
            let payload = match has_upload {
                true => {
                    let mut upload = blobs.create(id).await.unwrap();
                    upload.write(Bytes::from_static(b"kept")).await.unwrap();
                    upload.keep(since).await.unwrap();
                    Payload::Blob { check: 0, since }
                }
                false => Payload::Inline(b"kept".to_vec()),
            };
            let new = NewTask {
                id,
                kind: Kind::Md5,
                owner: None,
                input: json!({"filename": "kept", "size": 4}),
                payload,
                idempotency: None,
                retried_from: None,
            };
            store.insert(vec![new], A_DAY).await.unwrap();
            store.register(worker, "a worker".to_owned(), A_DAY).await.unwrap();
            let Claim { attempt, status, .. } =
                store.claim(vec![id], worker).await.unwrap().claimed.remove(0);
            let failed = Err(TaskError::new("blob-missing", "It is gone."));
            let outcome =
                if has_upload { failed } else { Ok(json!({"md5": "0123456789abcdef0123456789abcdef"})) };
            store.complete(vec![Completion { id, from: status, attempt, outcome }], rules).await.unwrap();
            store.retire(worker).await.unwrap();
            store.find(vec![id]).await.unwrap().remove(0)
        });
        Neighbour { task, has_upload }
    }

    /// Checks rows, log and blobs as `coatcheck verify` does, and returns its findings, if there are any.
    pub fn verify(&self) -> Option<String> {
        // Nothing is under way that a second look should wait for.
        let settings = Settings { sweep_seconds: Duration::ZERO, ..self.settings() };
        let remains =
            Remains { store: self.store.clone(), blobs: Arc::new(BlobFolder::open(self.blobs()).unwrap()) };
        let report = self.wait_for(async move {
            task_data::verify::verify(&remains, &settings, Arc::default()).await.unwrap()
        });
        (!report.is_clean()).then(|| format!("{report:?}"))
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
