//! One set of adapters, opened by their URLs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared_log::FileLock;

use crate::blobs::{Blobs, folder::BlobFolder};
use crate::notify::{Notify, local::LocalNotify};
use crate::queue::{Queue, memory::MemoryQueue};
use crate::settings::Settings;
use crate::store::{Store, StoreError, sqlite::SqliteStore};

/// The ports, each with one adapter.
#[derive(Clone)]
pub struct Stack {
    /// Rows.
    pub store: Arc<dyn Store>,
    /// Ids on their way to workers.
    pub queue: Arc<dyn Queue>,
    /// Uploads too large for a row.
    pub blobs: Arc<dyn Blobs>,
    /// Wakes for those who wait.
    pub notify: Arc<dyn Notify>,
}

/// Why a stack could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong: a person must change it.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program has the database's folder.
    #[error("another coatcheck (pid {pid}) has {}; stop it, or set DATABASE_URL to another path", path.display())]
    Held {
        /// The database's path.
        path: PathBuf,
        /// Who has it.
        pid: String,
    },
    /// The database could not be opened or brought up to date.
    #[error("DATABASE_URL: {}", path.display())]
    Store {
        /// The database's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl OpenError {
    fn setting(name: &'static str, reason: impl ToString) -> Self {
        Self::Setting { name, reason: reason.to_string() }
    }
}

/// Holds an embedded stack's database for one program; another can have it when this is dropped.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held, not read")] FileLock);

impl Stack {
    /// Takes the database for this program alone, and opens the embedded stack.
    ///
    /// # Errors
    /// If a setting is wrong, another program has the database, or it can't be opened.
    pub fn open_alone(settings: &Settings) -> Result<(Self, Hold), OpenError> {
        let path = database_path(settings)?;
        let hold = hold(&path)?;
        if settings.amqp_url != "memory:" {
            return Err(OpenError::setting("AMQP_URL", "must be memory: with a sqlite: database"));
        }
        let root = path_after("BLOB_URL", &settings.blob_url, "file:")?;
        let blobs = BlobFolder::open(&root)
            .map_err(|error| OpenError::setting("BLOB_URL", format!("{}: {error}", root.display())))?;
        let stack = Self {
            store: Arc::new(open_database(settings)?),
            queue: Arc::new(MemoryQueue::new()),
            blobs: Arc::new(blobs),
            notify: Arc::new(LocalNotify::new()),
        };
        Ok((stack, hold))
    }
}

/// Makes the database where it is missing and brings its schema up to date.
///
/// # Errors
/// If the setting is wrong or the database can't be opened.
pub fn migrate(settings: &Settings) -> Result<(), OpenError> {
    open_database(settings).map(|_| ())
}

fn open_database(settings: &Settings) -> Result<SqliteStore, OpenError> {
    let path = database_path(settings)?;
    SqliteStore::open(&path).map_err(|source| OpenError::Store { path, source })
}

/// The database's path, its folder made.
fn database_path(settings: &Settings) -> Result<PathBuf, OpenError> {
    let path = path_after("DATABASE_URL", &settings.database_url, "sqlite:")?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| OpenError::setting("DATABASE_URL", format!("{}: {error}", folder.display())))?;
    }
    Ok(path)
}

fn hold(path: &Path) -> Result<Hold, OpenError> {
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
    lock.write_note(&std::process::id().to_string()).map_err(failed)?;
    Ok(Hold(lock))
}

fn path_after(name: &'static str, url: &str, scheme: &str) -> Result<PathBuf, OpenError> {
    match url.strip_prefix(scheme) {
        Some("") | None => Err(OpenError::setting(name, format!("must be {scheme}PATH"))),
        Some(path) => Ok(PathBuf::from(path)),
    }
}
