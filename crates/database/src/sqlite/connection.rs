//! The connections to SQLite: one thread writes, a few connections read.
//!
//! All writes that arrive during a commit share the next one: a `BEGIN IMMEDIATE … COMMIT` with a savepoint each, so that one failed write
//! takes no other with it, and one fsync serves them all.
//!
//! After a failed write or flush of the files nothing more is written: the kernel may have dropped what it could not write, and would say
//! "success" next time. The program ends; the next one reads the files from the device. The readers neither write nor flush, and never see
//! what was not flushed: a commit enters the index of the WAL after its flush.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::Utc;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use parking_lot::Mutex;
use program::{in_one_line, private};
use shared_log::read_from_device;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, warn};

use crate::types::same_address_utils;
use crate::{Cause, PoolUse, Prepared, StoreError};

#[diesel::declare_sql_function]
extern "SQL" {
    /// `types::now_plus` for this database: a time is an integer here.
    #[sql_name = "now_plus"]
    fn now_plus_micros(seconds: diesel::sql_types::Double) -> diesel::sql_types::BigInt;

    /// Returns whether a long read may visit one more row. SQLite has no time-out for statements: once this is false, all further rows are
    /// skipped.
    fn in_time() -> diesel::sql_types::Bool;
}

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The most writes that share a commit.
const GROUP: usize = 256;
const READERS: usize = 4;
/// The most readers that reads of many rows may use, so that promises and health checks never wait for all of them.
const LONG_READS: usize = 2;
/// The time-out of such a read, and of the wait for its turn.
const LONGEST: Duration = Duration::from_secs(10);
/// How long reads in progress may take when the database is closed.
const READS_END: Duration = Duration::from_secs(2);
/// The suffixes of the files that are created and removed with the database: the WAL and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// The number of pages in the WAL from which on they are copied to the database.
const CHECKPOINT_PAGES: i32 = 8192;
/// SQLite's errors when a file could not be written, flushed or read, or is not what was written. It has these texts compiled in
/// (`sqlite3ErrStr`); the codes don't come through diesel. Not among them: `database or disk is full`, and a lock, which leave everything
/// as it was.
const BROKEN: [&str; 3] = ["disk I/O error", "disk image is malformed", "file is not a database"];

/// One SQLite file, held by one program: a writer's thread and the readers' connections.
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Option<Writer>>,
    readers: Arc<Readers>,
    failure: Failure,
}

struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    thread: JoinHandle<()>,
}

/// The failure after which nothing can be written any more, once it has happened.
pub type Failure = watch::Receiver<Option<StoreError>>;

struct Readers {
    free: Arc<Semaphore>,
    long: Arc<Semaphore>,
    connections: Mutex<Vec<SqliteConnection>>,
}

impl Sqlite {
    /// Opens or creates the file and migrates its schema to this version.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file can't be opened, [`StoreError::Internal`] if a migration fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path).map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        let mut writer = establish(path)?;
        // Without effect once the file has a page, which the WAL's mode makes: a file from before stays as large as it once was.
        let is_new =
            Prepared(diesel::sql_query("PRAGMA page_count")).get_result::<PageCount>(&mut writer)?.page_count
                == 0;
        if is_new {
            writer.batch_execute("PRAGMA auto_vacuum = INCREMENTAL")?;
        }
        set_up(&mut writer)?;
        // A row of the access log changes a page of an index at random. Most of these pages are kept in the cache (KiB), and many changes
        // of a page are written back as one, but before the WAL grows beyond `journal_size_limit`: it would be cut and grow again each
        // time. An automatic checkpoint would not report its failure.
        // Pages that a savepoint may have to restore are kept in memory, not in a file.
        writer.batch_execute(
            "PRAGMA cache_size = -12288; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;",
        )?;
        writer.run_pending_migrations(MIGRATIONS).map_err(|error| StoreError::Internal(Arc::from(error)))?;
        let connections = (0..READERS).map(|_| connect(path)).collect::<Result<_, _>>()?;
        let checkpoints = Checkpoints::begin(connect(path)?)?;
        let (jobs, queue) = mpsc::channel();
        let (tell, failure) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write_all(writer, checkpoints, queue, &tell))
            .map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        let readers = Readers {
            free: Arc::new(Semaphore::new(READERS)),
            long: Arc::new(Semaphore::new(LONG_READS)),
            connections: Mutex::new(connections),
        };
        let writer = Mutex::new(Some(Writer { jobs, thread }));
        Ok(Self { path: path.to_owned(), writer, readers: Arc::new(readers), failure })
    }

    /// Returns the path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits the writes that were sent, moves all rows from the WAL into the database's own file, and closes the connections. From then
    /// on nothing is read or written.
    pub(crate) async fn end(&self) {
        // A read in progress would keep its rows in the WAL.
        let _ = timeout(READS_END, self.readers.free.acquire_many(READERS as u32)).await;
        if let Some(thread) = self.end_writer() {
            // The thread ends by itself; if it has panicked, it has committed nothing more.
            let _ = spawn_blocking(move || thread.join()).await;
        }
    }

    /// Closes the connections, the writer's last.
    fn end_writer(&self) -> Option<JoinHandle<()>> {
        self.readers.free.close();
        self.readers.connections.lock().clear();
        let writer = self.writer.lock().take();
        writer.map(|writer| writer.thread)
    }

    /// Returns a watch on the failure after which nothing can be written any more: the process must end, and the next one reads the file
    /// again.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    /// Runs `work` in a transaction of the writer, and returns its result after the commit.
    ///
    /// # Cancel safety
    /// The write happens whether or not the caller waits for it.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        let job = Write { work: Some(work), outcome: None, answer };
        self.send(Box::new(job))?;
        outcome.await.map_err(|_| stopped())?
    }

    fn send(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let writer = self.writer.lock();
        writer.as_ref().ok_or_else(stopped)?.jobs.send(job).map_err(|_| stopped())
    }

    /// Returns how the readers are used.
    pub fn pool_use(&self) -> PoolUse {
        let free = self.readers.free.available_permits();
        PoolUse { used: READERS - free, free }
    }

    /// Runs `work`, which reads many rows, as [`Self::read`] does, but never on all readers at once. Its statements that call [`in_time()`]
    /// end after ten seconds.
    pub async fn read_long<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = timeout(LONGEST, self.readers.long.clone().acquire_owned()).await;
        let turn = turn.map_err(|late| StoreError::Unavailable(Arc::new(late)))?.map_err(|_| stopped())?;
        self.read(move |connection| {
            let _turn = turn;
            let until = Instant::now() + LONGEST;
            UNTIL.set(Some(until));
            let outcome = work(connection);
            UNTIL.set(None);
            match Instant::now() < until {
                true => outcome,
                false => Err(StoreError::Unavailable(Arc::new(TookTooLong))),
            }
        })
        .await
    }

    /// Runs `work` on a reader, off the async threads.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, mut outcome) = oneshot::channel();
        // Boxed: a task of the runtime for each of all reads would be much to compile.
        self.readers.clone().run(Box::new(move |connection| _ = answer.send(work(connection)))).await?;
        outcome.try_recv().map_err(|_| stopped())?
    }
}

type Reading = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

impl Readers {
    async fn run(self: Arc<Self>, reading: Reading) -> Result<(), StoreError> {
        let turn = self.free.clone().acquire_owned().await.map_err(|_| stopped())?;
        // The connection and the turn are returned on the blocking thread: a caller that goes away takes neither from others.
        let done = spawn_blocking(move || {
            let _turn = turn;
            let Some(mut connection) = self.connections.lock().pop() else {
                return;
            };
            reading(&mut connection);
            let mut connections = self.connections.lock();
            if !self.free.is_closed() {
                connections.push(connection);
            }
        });
        done.await.map_err(|error| StoreError::Internal(Arc::new(error)))
    }
}

impl Drop for Sqlite {
    /// As `end`, for commands whose last step is their last use of the database.
    fn drop(&mut self) {
        if let Some(thread) = self.end_writer() {
            let _ = thread.join();
        }
    }
}

/// Creates the database's file, if it is missing, and denies other users access to it and to the files beside it. SQLite gives the WAL and
/// its index the mode of the database.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let beside = BESIDE.map(|suffix| with_suffix(path, suffix));
    for path in std::iter::once(path).chain(beside.iter().map(PathBuf::as_path)) {
        if let Err(error) = private::close(path) {
            warn!(
                "{}: other users can read this file, and its mode could not be changed: {error}",
                path.display()
            );
        }
    }
    Ok(())
}

/// Flushes the database's files and drops them from the page cache, so that they are read from the device. Called before they are
/// opened: an earlier process may have ended because they could not be flushed.
///
/// # Errors
/// If dirty pages can't be flushed. They may be gone by the next call.
pub fn read_files_from_device(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal"] {
        match File::open(with_suffix(path, suffix)) {
            Ok(file) => read_from_device(&file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the bytes of the database and its WAL. Opens neither: to close a file drops all locks that this process has on it (`fcntl(2)`),
/// SQLite's too, and other programs would take the database for unused: <https://www.sqlite.org/howtocorrupt.html>, 2.2.
///
/// # Errors
/// If a file can't be looked at.
pub(super) fn size_of_files(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for suffix in ["", "-wal"] {
        match fs::metadata(with_suffix(path, suffix)) {
            Ok(file) => bytes += file.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Returns the path of the database, or of a file beside it.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file for a reader, beside other programs that have it open.
///
/// # Errors
/// [`StoreError::Unavailable`] if the file can't be opened.
pub fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut connection = establish(path)?;
    set_up(&mut connection)?;
    Ok(connection)
}

/// Opens the file, without changing or reading it.
fn establish(path: &Path) -> Result<SqliteConnection, StoreError> {
    let unavailable = |error: ConnectionError| StoreError::Unavailable(Arc::new(error));
    let path = path.to_str().ok_or_else(|| {
        unavailable(ConnectionError::InvalidConnectionUrl(
            "expected a UTF-8 path for the database".to_owned(),
        ))
    })?;
    let mut connection = SqliteConnection::establish(path).map_err(unavailable)?;
    connection.batch_execute("PRAGMA busy_timeout = 5000")?;
    Ok(connection)
}

/// Sets how the connection writes, and the functions of the schema.
fn set_up(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // FULL: with NORMAL a power cut may take the last commits, and with them promises that were given.
    // https://www.sqlite.org/pragma.html#pragma_synchronous
    connection.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;",
    )?;
    now_plus_micros_utils::register_nondeterministic_impl(connection, |seconds: f64| {
        Utc::now().timestamp_micros().saturating_add((seconds * 1e6) as i64)
    })?;
    same_address_utils::register_impl(connection, |one: String, other: String| {
        one.parse::<IpAddr>().ok().is_some_and(|one| other.parse() == Ok(one))
    })?;
    in_time_utils::register_nondeterministic_impl(connection, || {
        UNTIL.get().is_none_or(|until| Instant::now() < until)
    })?;
    Ok(())
}

thread_local! {
    /// Until when the long read on this thread may continue.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A read that took too long and was stopped.
#[derive(Debug, thiserror::Error)]
#[error("the read took too long")]
pub struct TookTooLong;

/// A write that waits for its turn.
trait Job: Send {
    /// Runs the write within the group's transaction.
    ///
    /// # Errors
    /// If the files are broken. An error of this write alone goes to its caller.
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Write<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut broken = Ok(());
        // Checked here: outside, the error may be that the savepoint is gone, because SQLite has rolled everything back.
        self.outcome = self.work.take().map(|work| {
            connection.transaction(|connection| {
                work(connection).inspect_err(|error| {
                    if is_broken(error) {
                        broken = Err(error.clone());
                    }
                })
            })
        });
        broken
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { outcome, answer, .. } = *self;
        // A caller that went away does not want its answer.
        let _ = answer.send(committed.and_then(|()| outcome.unwrap_or_else(|| Err(stopped()))));
    }
}

fn write_all(
    mut connection: SqliteConnection,
    mut checkpoints: Checkpoints,
    queue: mpsc::Receiver<Box<dyn Job>>,
    tell: &watch::Sender<Option<StoreError>>,
) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(GROUP - 1));
        let (mut begun, mut failure) = (false, None);
        let committed = connection.immediate_transaction(|connection| {
            begun = true;
            let ran = group.iter_mut().try_for_each(|job| job.run(connection));
            failure = ran.clone().err();
            ran
        });
        let committed = committed.map_err(|error: StoreError| {
            if failure.is_none() && is_broken(&error) {
                failure = Some(error.clone());
            }
            match begun {
                false => StoreError::Unavailable(cause_of(&error).clone()),
                true => StoreError::Unknown(cause_of(&error).clone()),
            }
        });
        let is_committed = committed.is_ok();
        for job in group {
            job.answer(committed.clone());
        }
        if is_committed {
            failure = checkpoints.go_on(&mut connection).err().filter(is_broken);
        }
        if let Some(failure) = failure {
            // Dropping the queue drops the answers of all writes that wait in it and of all later ones.
            return give_up(connection, failure, tell);
        }
    }
    if let Some(failure) = checkpoints.end().err().filter(is_broken) {
        return give_up(connection, failure, tell);
    }
    // Afterwards a copy of the database's file alone has all rows. While another program has the database open, this may be impossible;
    // nothing is lost by that.
    let into_file = "PRAGMA busy_timeout = 1000; PRAGMA wal_checkpoint(TRUNCATE);";
    if let Err(error) = connection.batch_execute(into_file).map_err(StoreError::from) {
        warn!(
            error = in_one_line(&error),
            "the database's WAL could not be merged into its file; copy both files in a backup"
        );
        if is_broken(&error) {
            // As above.
            std::mem::forget(connection);
        }
    }
}

#[derive(QueryableByName)]
struct PageCount {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    page_count: i64,
}

#[derive(QueryableByName)]
struct Wal {
    /// The pages in the WAL; -1 if it does not exist.
    #[diesel(sql_type = diesel::sql_types::Integer)]
    log: i32,
}

/// Ends the writer after a failure.
fn give_up(writer: SqliteConnection, failure: StoreError, tell: &watch::Sender<Option<StoreError>>) {
    error!(error = in_one_line(&failure), "the database's files could not be written; the process ends");
    // Not closed: with the last connection SQLite would copy the WAL to the database, trust a flush of it, and remove the WAL.
    std::mem::forget(writer);
    tell.send_replace(Some(failure));
}

/// Copies the WAL's pages to the database once there are enough of them, as far as no reader needs them: nearly all of them on a thread of its
/// own, while the writer goes on, and then what was written meanwhile, so that the WAL begins anew.
struct Checkpoints {
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<QueryResult<()>>,
    is_asked: bool,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    fn begin(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        let ((ask, asked), (answer, answers)) = (mpsc::channel(), mpsc::channel());
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoints".to_owned())
            .spawn(move || while asked.recv().is_ok() && answer.send(checkpoint(&mut connection)).is_ok() {})
            .map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        Ok(Self { ask, answers, is_asked: false, thread })
    }

    /// Begins to copy if there is enough, or ends what was begun.
    ///
    /// # Errors
    /// Of the thread's copy, too. After it nothing may be copied: the next flush would succeed, and the WAL begin anew, without these pages.
    fn go_on(&mut self, writer: &mut SqliteConnection) -> Result<(), StoreError> {
        if self.is_asked {
            let copied = match self.answers.try_recv() {
                Err(TryRecvError::Empty) => return Ok(()),
                // Without an answer it has panicked.
                answer => answer.unwrap_or(Ok(())),
            };
            self.is_asked = false;
            return Ok(copied.and_then(|()| checkpoint(writer))?);
        }
        let Wal { log } = Prepared(diesel::sql_query("PRAGMA wal_checkpoint(NOOP)")).get_result(writer)?;
        self.is_asked = log >= CHECKPOINT_PAGES && self.ask.send(()).is_ok();
        Ok(())
    }

    /// Waits for a copy that was begun, and closes its connection.
    fn end(self) -> Result<(), StoreError> {
        let Self { ask, answers, is_asked, thread } = self;
        drop(ask);
        // If it has panicked, there is no answer.
        let _ = thread.join();
        match answers.try_recv() {
            Ok(copied) if is_asked => Ok(copied?),
            _ => Ok(()),
        }
    }
}

fn checkpoint(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")
}

/// Returns whether the error forbids further writes, and trust in earlier ones, until the files are read from the device.
fn is_broken(error: &StoreError) -> bool {
    match cause_of(error).downcast_ref() {
        Some(DieselError::DatabaseError(_, info)) => BROKEN.iter().any(|text| info.message().contains(text)),
        // SQLite is in a transaction that it can't leave.
        Some(DieselError::RollbackErrorOnCommit { .. } | DieselError::BrokenTransactionManager) => true,
        _ => false,
    }
}

fn cause_of(error: &StoreError) -> &Cause {
    let (StoreError::Unavailable(cause)
    | StoreError::Unknown(cause)
    | StoreError::Refused(cause)
    | StoreError::Internal(cause)) = error;
    cause
}

fn stopped() -> StoreError {
    StoreError::Unavailable(Arc::new(crate::batch::Stopped))
}
