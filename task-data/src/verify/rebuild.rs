//! Rebuilds the log from the rows.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use program::sync_folder;

use super::report::{PAGE, VerifyProgress};
use crate::outcome;
use crate::store::{Filter, Store, StoreError};
use crate::task::{TaskId, Time};

/// Why the log was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The rows can't be read.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// Only a newer version knows the lines of some tasks.
    #[error(
        "some ended tasks are of kind `{0}`, which only a newer version of coatcheck knows; use that version"
    )]
    Newer(String),
    /// The file exists already.
    #[error("{}: expected a new file, found one that exists; remove it, or name another", .0.display())]
    Exists(PathBuf),
    /// The file can't be created or written.
    #[error("{}", path.display())]
    File {
        /// The new file's path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// The result of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The number of lines: one for each ended task.
    pub lines: u64,
    /// Whether a worker is running: tasks that end from now on are not in the file.
    pub is_worked_on: bool,
}

/// Writes the lines of all ended tasks, in the order of their ends, to a new file. The file is durable when this returns; on failure
/// it does not exist.
///
/// # Errors
/// If the file exists already or can't be written, or the rows can't be read.
pub async fn rebuild(
    store: &dyn Store,
    path: &Path,
    progress: &VerifyProgress,
) -> Result<Rebuilt, RebuildError> {
    let failed = |source| RebuildError::File { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => RebuildError::Exists(path.to_owned()),
        _ => failed(error),
    })?;
    let written = write(store, file, progress, failed).await;
    match written.and_then(|lines| sync_folder(path).map_err(failed).map(|()| lines)) {
        Ok(lines) => Ok(Rebuilt { lines, is_worked_on: store.live_leases().await? > 0 }),
        Err(error) => {
            // This call created the file, and it is incomplete.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

async fn write(
    store: &dyn Store,
    file: File,
    progress: &VerifyProgress,
    failed: impl Fn(io::Error) -> RebuildError,
) -> Result<u64, RebuildError> {
    let mut ended = ended(store, progress).await?;
    ended.sort_unstable();
    let mut file = BufWriter::new(file);
    for some in ended.chunks(PAGE as usize) {
        let ids: Vec<TaskId> = some.iter().map(|(_, id)| *id).collect();
        let tasks = store.find(ids.clone()).await?;
        let lines: HashMap<TaskId, String> =
            tasks.iter().filter_map(|task| Some((task.id, outcome::line(task)?))).collect();
        for line in ids.iter().filter_map(|id| lines.get(id)) {
            writeln!(file, "{line}").map_err(&failed)?;
        }
    }
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(&failed)?;
    Ok(ended.len() as u64)
}

/// Returns all ended tasks with their times. Only ids and times of so many tasks fit into memory.
async fn ended(store: &dyn Store, progress: &VerifyProgress) -> Result<Vec<(Time, TaskId)>, RebuildError> {
    let (mut ended, mut after) = (Vec::new(), None);
    loop {
        let filter = Filter { after, limit: PAGE, with_newer: true, ..Filter::default() };
        let page = store.list(filter).await?.tasks;
        let Some(last) = page.last() else { return Ok(ended) };
        after = Some(last.id);
        if let Some(newer) = page.iter().find(|task| task.status.is_ended() && task.kind.known().is_none()) {
            return Err(RebuildError::Newer(newer.kind.to_string()));
        }
        let of_page = page.iter().filter(|task| task.status.is_ended());
        ended.extend(of_page.filter_map(|task| Some((task.finished?, task.id))));
        progress.rows.fetch_add(page.len() as u64, Relaxed);
    }
}
