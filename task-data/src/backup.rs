//! A copy of the embedded form, taken beside the program that runs on it: rows, uploads and the outcome log, in a folder in which
//! `coatcheck` starts with its default settings.
//!
//! Everything changes while it is copied, so the order decides:
//! 1. Each upload is linked or copied. An upload exists before its row, and is removed after its row has ended. So each row of step 3
//!    that had not ended when this step began has its upload in the copy.
//! 2. The files of the log are listed and opened, with their sizes.
//! 3. The rows are copied as they are at one moment. A row says whether its line is written, and the log's head says how far the log
//!    is known. So the log's older files are copied whole, and its current file up to the head in the copied rows. If the log was
//!    begun anew between 2 and 3, both steps are repeated.
//! 4. Uploads of rows that were inserted between 1 and 3 are linked or copied. A row whose upload is gone by now has ended since, and
//!    was promised after the backup began: it is removed from the copy.
//! 5. Running tasks are made pending in the copy, without a charge, and the positions of log lines are cleared: the copied log is
//!    another file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use database::Sqlite;
use program::{folder_of, private};
use shared_log::{LogError, LogFile};
use tokio::task::spawn_blocking;

use crate::blobs::folder::BlobFolder;
use crate::blobs::{Blobs, SHARDS};
use crate::settings::Settings;
use crate::stack::{OpenError, embedded_paths};
use crate::store::sqlite::{Original, forget, forget_logs};
use crate::store::{Filter, HandBack, ListPlace, LogHead, StoreError, TaskPage, Tasks, Upkeep};
use crate::task::{Status, Task, TaskId, Ticket};

/// The number of rows that are read together.
const PAGE: usize = 500;
/// How often steps 2 and 3 are tried, if each time the log is begun anew between them.
const TRIES: usize = 5;

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A setting is invalid, or names something that can't be copied.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target folder is not empty.
    #[error("{}: expected an empty or missing folder, found files in it; choose another folder", .0.display())]
    NotEmpty(PathBuf),
    /// The rows can't be copied.
    #[error("the database can't be copied")]
    Store(#[from] StoreError),
    /// The outcome log can't be read.
    #[error("the outcome log can't be copied")]
    Log(#[from] LogError),
    /// A file can't be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The log is rotated faster than its files can be listed.
    #[error("the outcome log was rotated again and again while it was copied; try again")]
    Restless,
}

/// The progress of a backup; other threads may read it while the backup runs.
#[derive(Debug, Default)]
pub struct BackupProgress {
    uploads: AtomicU64,
}

impl BackupProgress {
    /// Returns the number of uploads that were linked or copied so far.
    pub fn uploads(&self) -> u64 {
        self.uploads.load(Relaxed)
    }
}

/// The contents of a finished backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The database's size in bytes.
    pub database_bytes: u64,
    /// The number of uploads.
    pub uploads: u64,
    /// The number of files of the outcome log.
    pub log_files: usize,
}

/// Copies what the settings name, and the files `more`, to `data/` in a folder that is empty or missing. When this returns, all is
/// synced; if it fails, nothing of the copy remains.
///
/// # Errors
/// See [`BackupError`].
pub async fn backup(
    settings: &Settings,
    folder: &Path,
    more: &[&Path],
    progress: Arc<BackupProgress>,
) -> Result<Copied, BackupError> {
    let (database, blobs) = embedded_paths(settings)?;
    let source = BlobFolder::existing(&blobs).map_err(at(&blobs))?;
    let is_made = make_empty(folder)?;
    let layout = Layout::new(folder);
    let copied = copy_all(settings, &database, source, &layout, more, progress).await;
    if copied.is_err() {
        // An incomplete copy must not be mistaken for a complete one.
        let _ = fs::remove_dir_all(&layout.data);
        if is_made {
            let _ = fs::remove_dir(folder);
        }
    }
    copied
}

/// Makes the folder, or checks that it is empty. Returns whether it was made.
fn make_empty(folder: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(folder).map(|mut files| files.next().is_none()) {
        Ok(true) => {
            private::close(folder).map_err(at(folder))?;
            Ok(false)
        }
        Ok(false) => Err(BackupError::NotEmpty(folder.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            private::make_folder(folder).map_err(at(folder))?;
            Ok(true)
        }
        Err(error) => Err(at(folder)(error)),
    }
}

/// The paths of the parts of a copy.
#[derive(Clone)]
struct Layout {
    folder: PathBuf,
    data: PathBuf,
    blobs: PathBuf,
    log: PathBuf,
    /// The database's temporary name; it is renamed last.
    unfinished: PathBuf,
    database: PathBuf,
}

impl Layout {
    fn new(folder: &Path) -> Self {
        let data = folder.join(private::DATA);
        Self {
            folder: folder.to_owned(),
            blobs: data.join("blobs"),
            log: data.join("outcomes.log"),
            unfinished: data.join("coatcheck.db.part"),
            database: data.join("coatcheck.db"),
            data,
        }
    }
}

async fn copy_all(
    settings: &Settings,
    database: &Path,
    source: BlobFolder,
    layout: &Layout,
    more: &[&Path],
    progress: Arc<BackupProgress>,
) -> Result<Copied, BackupError> {
    DirBuilder::new().mode(0o700).create(&layout.data).map_err(at(&layout.data))?;
    let uploads = Uploads {
        copies: Arc::new(BlobFolder::open(&layout.blobs).map_err(at(&layout.blobs))?),
        source: Arc::new(source),
        progress,
    };
    uploads.bring_all().await?;

    let log_files = blocking({
        let (settings, database, layout) = (settings.clone(), database.to_owned(), layout.clone());
        move || copy_rows_and_log(&settings, &database, &layout)
    })
    .await?;

    let store = Sqlite::open(&layout.unfinished)?;
    rest(&store, settings).await?;
    bring_rest(&store, &uploads).await?;
    let kept = drop_needless(&store, settings, &uploads).await?;
    store.close().await?;

    let (layout, more) = (layout.clone(), more.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
    blocking(move || {
        uploads.copies.sync().map_err(at(&layout.blobs))?;
        let database_bytes = finish(&layout, &more)?;
        Ok(Copied { database_bytes, uploads: kept, log_files })
    })
    .await
}

/// The folders of uploads: the service's and the copy's.
struct Uploads {
    source: Arc<BlobFolder>,
    copies: Arc<BlobFolder>,
    progress: Arc<BackupProgress>,
}

impl Uploads {
    /// Links or copies all uploads (step 1).
    async fn bring_all(&self) -> Result<(), BackupError> {
        for shard in 0..SHARDS {
            let ids = in_folder(self.source.clone(), move |folder| folder.ids(shard)).await?;
            for id in ids {
                self.bring(id).await?;
            }
        }
        Ok(())
    }

    /// Links or copies an upload. Returns `false` if it is gone.
    async fn bring(&self, id: TaskId) -> Result<bool, BackupError> {
        let source = self.source.clone();
        let is_there = in_folder(self.copies.clone(), move |copies| copies.bring(&source, id)).await?;
        self.progress.uploads.fetch_add(u64::from(is_there), Relaxed);
        Ok(is_there)
    }
}

async fn in_folder<T: Send + 'static>(
    folder: Arc<BlobFolder>,
    work: impl FnOnce(&BlobFolder) -> io::Result<T> + Send + 'static,
) -> Result<T, BackupError> {
    blocking(move || work(&folder).map_err(at(folder.root()))).await
}

/// Copies the rows and the log (steps 2 and 3). Returns the number of files of the log that were copied.
fn copy_rows_and_log(settings: &Settings, database: &Path, layout: &Layout) -> Result<usize, BackupError> {
    let mut original = Original::open(database)?;
    let Some(log) = settings.log_path() else {
        create(&layout.unfinished)?;
        original.copy_into(&layout.unfinished)?;
        return Ok(0);
    };
    let name = settings.log_name(log).map_err(at(log))?.name;
    for _ in 0..TRIES {
        let begun = original.log_head(&name)?;
        let files = LogFile::all_of_any_form(log)?;
        let sizes: io::Result<Vec<u64>> = files.iter().map(LogFile::bytes).collect();
        let sizes = sizes.map_err(at(log))?;

        create(&layout.unfinished)?;
        original.copy_into(&layout.unfinished)?;
        let head = Original::open(&layout.unfinished)?.log_head(&name)?;
        if begun.map(|head| head.ino) == head.as_ref().map(|head| head.ino) {
            for (file, size) in files.iter().zip(sizes) {
                copy_log_file(file, size, head.as_ref(), log, layout)?;
            }
            return Ok(files.len());
        }
        fs::remove_file(&layout.unfinished).map_err(at(&layout.unfinished))?;
    }
    Err(BackupError::Restless)
}

/// Copies a file of the log, up to the last line that the copied rows know.
fn copy_log_file(
    file: &LogFile,
    size: u64,
    head: Option<&LogHead>,
    log: &Path,
    layout: &Layout,
) -> Result<(), BackupError> {
    let path = file.path();
    let is_current = head.filter(|head| file.is_of(head).unwrap_or(false));
    let length = is_current.map_or(size, |head| head.committed);
    // The copy has the log's default name, followed by the file's own suffix.
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut copy_path = layout.log.clone().into_os_string();
    copy_path.push(name(path).strip_prefix(&*name(log)).unwrap_or_default());
    let copy_path = PathBuf::from(copy_path);

    let mut options = OpenOptions::new();
    let mut copy =
        options.write(true).create_new(true).mode(0o640).open(&copy_path).map_err(at(&copy_path))?;
    io::copy(&mut file.from_beginning().take(length), &mut copy).map_err(at(path))?;
    // The log tells its files apart by the time of their last write.
    copy.set_modified(file.modified().map_err(at(path))?).map_err(at(&copy_path))?;
    copy.sync_all().map_err(at(&copy_path))
}

/// Makes running tasks pending (step 5), for no worker holds them in the copy. Nothing is due, so that `verify` finds nothing overdue in an
/// old copy; a program that starts makes all tasks due.
async fn rest(store: &Sqlite, settings: &Settings) -> Result<(), BackupError> {
    forget_logs(store).await?;
    let mut after = None;
    loop {
        let TaskPage { tasks: running, next } = page(store, Status::Running, after).await?;
        let back = |task: &Task| HandBack {
            id: task.id,
            attempt: task.attempt,
            after: Duration::ZERO,
            charge: None,
            waits_for: None,
        };
        store.hand_back(running.iter().map(back).collect(), settings.rules()).await?;
        let Some(next) = next else { break };
        after = Some(next);
    }
    let mut after = None;
    loop {
        let TaskPage { tasks: pending, next } = page(store, Status::Pending, after).await?;
        store.mark_published(pending.iter().filter_map(Ticket::of).collect()).await?;
        let Some(next) = next else { return Ok(()) };
        after = Some(next);
    }
}

/// Links or copies the uploads of rows inserted since step 1 (step 4).
async fn bring_rest(store: &Sqlite, uploads: &Uploads) -> Result<(), BackupError> {
    let mut after = None;
    loop {
        let TaskPage { tasks: pending, next } = page(store, Status::Pending, after).await?;
        let mut gone = Vec::new();
        for task in pending.iter().filter(|task| task.has_blob) {
            if !uploads.bring(task.id).await? {
                gone.push(task.id);
            }
        }
        if !gone.is_empty() {
            forget(store, gone).await?;
        }
        let Some(next) = next else { return Ok(()) };
        after = Some(next);
    }
}

/// Removes the uploads that no copied row needs. Returns the number of uploads left.
async fn drop_needless(store: &Sqlite, settings: &Settings, uploads: &Uploads) -> Result<u64, BackupError> {
    let now = store.now().await?;
    let mut kept = 0;
    for shard in 0..SHARDS {
        let ids = in_folder(uploads.copies.clone(), move |copies| copies.ids(shard)).await?;
        for ids in ids.chunks(PAGE) {
            let tasks = store.find(ids.to_vec()).await?;
            let is_needed =
                |id: &TaskId| tasks.iter().any(|task| task.id == *id && settings.needs_blob(task, now));
            for id in ids {
                if is_needed(id) {
                    kept += 1;
                } else {
                    uploads
                        .copies
                        .delete(*id)
                        .await
                        .map_err(io::Error::other)
                        .map_err(at(uploads.copies.root()))?;
                }
            }
        }
    }
    Ok(kept)
}

async fn page(store: &Sqlite, status: Status, after: Option<ListPlace>) -> Result<TaskPage, StoreError> {
    store.list(Filter { statuses: vec![status], after, limit: PAGE as i64, ..Filter::default() }).await
}

/// Copies the additional files, syncs everything and renames the database to its final name. Returns the database's size in bytes.
fn finish(layout: &Layout, more: &[PathBuf]) -> Result<u64, BackupError> {
    for path in more {
        let Some(name) = path.file_name() else { continue };
        let copy_path = layout.data.join(name);
        match fs::read(path) {
            Ok(content) => {
                let mut copy = create(&copy_path)?;
                copy.write_all(&content).and_then(|()| copy.sync_all()).map_err(at(&copy_path))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(at(path)(error)),
        }
    }
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all()).map_err(at(path));
    sync(&layout.unfinished)?;
    fs::rename(&layout.unfinished, &layout.database).map_err(at(&layout.database))?;
    sync(&layout.data)?;
    sync(&layout.folder)?;
    sync(folder_of(&layout.folder))?;
    Ok(fs::metadata(&layout.database).map_err(at(&layout.database))?.len())
}

fn create(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(BackupError::Io { path: PathBuf::new(), source: io::Error::other(error) })
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}
