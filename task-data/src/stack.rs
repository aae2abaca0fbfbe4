//! One set of adapters, opened by their URLs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use database::postgres::SharedSessions;
use database::{Database, Postgres, Sqlite, sqlite};
use limits::{Limits, local::LocalLimits, redis::RedisLimits};
use program::{Backoff, Repeated, private};
use shared_log::FileLock;
use tokio::time::sleep;
use tracing::warn;

use crate::blobs::{Blobs, folder::BlobFolder};
use crate::notify::redis::{RedisNotify, client};
use crate::notify::{Notify, local::LocalNotify};
use crate::queue::{Queue, amqp::Broker, memory::MemoryQueue};
use crate::settings::Settings;
use crate::store::{self, Store, StoreError};

const SQLITE: &str = "sqlite:";
const MEMORY: &str = "memory:";

/// The ports, each with one adapter.
#[derive(Clone)]
pub struct Stack {
    /// The tasks' rows.
    pub store: Arc<dyn Store>,
    /// The queue of ids for workers.
    pub queue: Arc<dyn Queue>,
    /// Uploads too large for a row.
    pub blobs: Arc<dyn Blobs>,
    /// The wakes of waiting clients.
    pub notify: Arc<dyn Notify>,
    /// The limits that all processes share.
    pub limits: Arc<dyn Limits>,
}

/// Why a stack could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is invalid: a person must change it.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// The error: the expected value.
        reason: String,
    },
    /// Another program holds the database.
    #[error("another coatcheck (pid {pid}) has {}; stop it, or set DATABASE_URL to another path", path.display())]
    Held {
        /// The database's path.
        path: PathBuf,
        /// The process id of that program.
        pid: String,
    },
    /// The database's file could not be opened or migrated.
    #[error("DATABASE_URL: {}", path.display())]
    Sqlite {
        /// The database's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The PostgreSQL database could not be migrated.
    #[error("DATABASE_URL: the schema could not be brought up to date")]
    Postgres {
        /// The cause.
        #[source]
        source: StoreError,
    },
}

impl OpenError {
    fn setting(name: &'static str, reason: impl ToString) -> Self {
        Self::Setting { name, reason: reason.to_string() }
    }
}

/// Holds an embedded stack's database for this program; dropped, it lets another program open the database.
#[derive(Debug)]
pub struct Hold {
    _lock: FileLock,
    failure: sqlite::Failure,
}

impl Hold {
    /// Waits until the database's files could not be written or flushed. Nothing is accepted from then on. The program must end; the next
    /// one reads the files from the device.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(error)) => error,
            // The database was closed before any failure.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl Stack {
    /// Opens the embedded stack, and returns its database for the other stores. Holds the database for this program alone.
    ///
    /// # Errors
    /// If a setting is invalid, another program has the database, or it can't be opened.
    pub fn open_alone(settings: &Settings) -> Result<(Self, Database, Hold), OpenError> {
        if is_postgres(&settings.database_url) {
            let reason = "postgres:// is for processes that share it: run `coatcheck api` and `coatcheck worker`; without a command it \
                          must be sqlite:PATH";
            return Err(OpenError::setting("DATABASE_URL", reason));
        }
        // Checked before a folder is made.
        path_after("DATABASE_URL", &settings.database_url, SQLITE)?;
        if settings.amqp_url != MEMORY {
            return Err(OpenError::setting("AMQP_URL", "expected memory: with a sqlite: database"));
        }
        if settings.redis_url.is_some() {
            return Err(OpenError::setting("REDIS_URL", "expected no value with a sqlite: database"));
        }
        path_after("BLOB_URL", &settings.blob_url, "file:")?;
        let path = database_path(&settings.database_url)?;
        let lock = hold(&path)?;
        sqlite::read_files_from_device(&path)
            .map_err(|error| OpenError::setting("DATABASE_URL", format!("{}: {error}", path.display())))?;
        let store = open_sqlite(path)?;
        let hold = Hold { _lock: lock, failure: store.failure() };
        let database = Database::Sqlite(Arc::new(store));
        let stack = Self {
            store: store::of(&database),
            queue: Arc::new(MemoryQueue::new()),
            blobs: open_blobs(settings)?,
            notify: Arc::new(LocalNotify::new()),
            limits: Arc::new(LocalLimits::new()),
        };
        Ok((stack, database, hold))
    }

    /// Returns the error of [`Self::open_alone`] if another program has the database. Creates no files.
    pub fn holder(settings: &Settings) -> Option<OpenError> {
        let path = path_after("DATABASE_URL", &settings.database_url, SQLITE).ok()?;
        let held = path.exists().then(|| hold(&path).err()).flatten();
        held.filter(|error| matches!(error, OpenError::Held { .. }))
    }

    /// Opens the distributed stack, and returns its database for the other stores, shared with other processes. Waits for the database
    /// and migrates its schema; the queue and Redis may become available later.
    ///
    /// # Errors
    /// If a setting is invalid or names a server that processes can't share, or a migration fails.
    ///
    /// # Cancel safety
    /// May be dropped while it waits.
    pub async fn open_shared(settings: &Settings) -> Result<(Self, Database), OpenError> {
        let needs =
            |name, server| OpenError::setting(name, format!("expected {server} for a separate process"));
        if settings.database_url.starts_with(SQLITE) {
            return Err(needs("DATABASE_URL", "postgres://…, which processes share,"));
        }
        if settings.amqp_url == MEMORY {
            return Err(needs("AMQP_URL", "amqp://…, which processes share,"));
        }
        let Some(redis_url) = &settings.redis_url else {
            return Err(needs("REDIS_URL", "redis://…, which processes share,"));
        };
        let broker =
            Broker::new(&settings.amqp_url).map_err(|error| OpenError::setting("AMQP_URL", error))?;
        let redis = client(redis_url).map_err(|error| OpenError::setting("REDIS_URL", error))?;
        let blobs = open_blobs(settings)?;
        let store = open_postgres(&settings.database_url).await?;
        let deployment = patiently(|| store.deployment()).await?;
        let database = Database::Postgres(Arc::new(store));
        let stack = Self {
            store: store::of(&database),
            queue: Arc::new(broker.queues_of(&deployment)),
            blobs,
            notify: Arc::new(RedisNotify::start(redis.clone(), &deployment)),
            limits: Arc::new(RedisLimits::new(redis, &deployment.0)),
        };
        Ok((stack, database))
    }
}

/// A database whose schema is up to date.
#[derive(Debug)]
pub struct Migrated {
    /// The file's absolute path, or the server's URL, which may contain a password.
    pub database: String,
    /// Whether the database file was created.
    pub is_new: bool,
}

/// Creates the schema or migrates it. Waits for a database server.
///
/// # Errors
/// If the setting is invalid, the database can't be opened, or a migration fails.
pub async fn migrate(settings: &Settings) -> Result<Migrated, OpenError> {
    if !settings.database_url.starts_with(SQLITE) {
        open_postgres(&settings.database_url).await?;
        return Ok(Migrated { database: settings.database_url.clone(), is_new: false });
    }
    let path = database_path(&settings.database_url)?;
    let is_new = !path.exists();
    open_sqlite(path.clone())?;
    Ok(Migrated { database: shown(&path).display().to_string(), is_new })
}

fn check_scheme(database_url: &str) -> Result<(), OpenError> {
    if database_url.starts_with(SQLITE) || is_postgres(database_url) {
        return Ok(());
    }
    let reason = "expected sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    Err(OpenError::setting("DATABASE_URL", reason))
}

fn is_postgres(database_url: &str) -> bool {
    database_url.starts_with("postgres:") || database_url.starts_with("postgresql:")
}

/// Opens an existing database beside the programs that have it open, and migrates it. Does not hold it, does not wait for it, and
/// does not create it.
///
/// # Errors
/// As [`migrate`], and if the database does not exist or its server is away.
pub async fn open_database(database_url: &str) -> Result<Database, OpenError> {
    if database_url.starts_with(SQLITE) {
        return Ok(Database::Sqlite(Arc::new(open_sqlite(existing_database(database_url)?)?)));
    }
    let database = postgres(database_url)?;
    database.migrate().await.map_err(refused)?;
    Ok(Database::Postgres(Arc::new(database)))
}

/// Rows and blobs as they were left, whether or not programs have them open.
pub struct Remains {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The uploads too large for a row.
    pub blobs: Arc<dyn Blobs>,
}

/// Opens existing rows and blobs. Does not create, hold or wait for anything.
///
/// # Errors
/// As [`open_database`], and if the database or the folder does not exist.
pub async fn open_remains(settings: &Settings) -> Result<Remains, OpenError> {
    check_scheme(&settings.database_url)?;
    if settings.database_url.starts_with(SQLITE) {
        existing_database(&settings.database_url)?;
    }
    let root = path_after("BLOB_URL", &settings.blob_url, "file:")?;
    let blobs = BlobFolder::existing(&root)
        .map_err(|error| OpenError::setting("BLOB_URL", format!("{}: {error}", root.display())))?;
    Ok(Remains { store: store::of(&open_database(&settings.database_url).await?), blobs: Arc::new(blobs) })
}

/// Returns the paths of the database, which must exist, and of the uploads' folder in the embedded form.
///
/// # Errors
/// If a setting is invalid or names another form.
pub(crate) fn embedded_paths(settings: &Settings) -> Result<(PathBuf, PathBuf), OpenError> {
    if !settings.database_url.starts_with(SQLITE) {
        let reason = "expected sqlite:PATH, because this command copies the embedded form; copy PostgreSQL with deployment/backup";
        return Err(OpenError::setting("DATABASE_URL", reason));
    }
    let database = existing_database(&settings.database_url)?;
    Ok((database, path_after("BLOB_URL", &settings.blob_url, "file:")?))
}

/// Returns the path of an existing database, for commands that use what a server has created.
fn existing_database(database_url: &str) -> Result<PathBuf, OpenError> {
    let path = path_after("DATABASE_URL", database_url, SQLITE)?;
    let shown = shown(&path);
    match path.metadata() {
        Ok(found) if found.len() > 0 => Ok(path),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::setting("DATABASE_URL", format!("{}: {error}", shown.display())))
        }
        Ok(_) | Err(_) => {
            let reason = format!(
                "expected a database at {}, found no file; run this in the folder that the server was started in, or set DATABASE_URL to the server's",
                shown.display()
            );
            Err(OpenError::setting("DATABASE_URL", reason))
        }
    }
}

/// Returns the absolute path: with a relative one, the user would have to know where the program was started.
fn shown(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn open_sqlite(path: PathBuf) -> Result<Sqlite, OpenError> {
    Sqlite::open(&path).map_err(|source| OpenError::Sqlite { path, source })
}

async fn open_postgres(database_url: &str) -> Result<Postgres, OpenError> {
    let store = postgres(database_url)?;
    patiently(|| store.migrate()).await?;
    Ok(store)
}

/// Repeats the first request to the database until the database answers.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, OpenError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut failures, outage) = (0, Repeated::default());
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(source @ (StoreError::Internal(_) | StoreError::Refused(_))) => {
                return Err(refused(source));
            }
            Err(error) => {
                if let Some(line) = outage.line(&format!("waiting for the database: {}", cause_of(&error))) {
                    warn!("{line}");
                }
            }
        }
        sleep(Backoff::SERVER.delay(failures)).await;
        failures += 1;
    }
}

pub(crate) fn postgres(database_url: &str) -> Result<Postgres, OpenError> {
    check_scheme(database_url)?;
    Postgres::new(database_url).map_err(|error| OpenError::setting("DATABASE_URL", error))
}

fn refused(source: StoreError) -> OpenError {
    match &source {
        StoreError::Internal(cause) if cause.is::<SharedSessions>() => {
            OpenError::setting("DATABASE_URL", cause)
        }
        _ => OpenError::Postgres { source },
    }
}

fn cause_of(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn open_blobs(settings: &Settings) -> Result<Arc<dyn Blobs>, OpenError> {
    let root = path_after("BLOB_URL", &settings.blob_url, "file:")?;
    let blobs = BlobFolder::open(&root)
        .map_err(|error| OpenError::setting("BLOB_URL", format!("{}: {error}", root.display())))?;
    Ok(Arc::new(blobs))
}

/// Returns the database's path, after creating its folder, which only its owner can read.
fn database_path(database_url: &str) -> Result<PathBuf, OpenError> {
    let path = path_after("DATABASE_URL", database_url, SQLITE)?;
    if let Some(folder) = path.parent() {
        private::make_folder(folder)
            .map_err(|error| OpenError::setting("DATABASE_URL", format!("{}: {error}", folder.display())))?;
    }
    Ok(path)
}

fn hold(path: &Path) -> Result<FileLock, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |error: std::io::Error| {
        OpenError::setting("DATABASE_URL", format!("{}: {error}", lock_path.display()))
    };
    let Some(lock) = FileLock::try_acquire(&lock_path).map_err(failed)? else {
        let pid = FileLock::read_note(&lock_path).map_err(failed)?;
        return Err(OpenError::Held { path: path.to_owned(), pid: pid.trim().to_owned() });
    };
    private::close(&lock_path).map_err(failed)?;
    lock.write_note(&std::process::id().to_string()).map_err(failed)?;
    Ok(lock)
}

fn path_after(name: &'static str, url: &str, scheme: &str) -> Result<PathBuf, OpenError> {
    match url.strip_prefix(scheme) {
        Some("") | None => Err(OpenError::setting(name, format!("expected {scheme}PATH"))),
        Some(path) => Ok(PathBuf::from(path)),
    }
}
