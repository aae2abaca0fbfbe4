//! The log written anew from the rows.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::report::{PAGE, VerifyProgress};
use crate::outcome;
use crate::store::{Filter, Store, StoreError};
use crate::task::{TaskId, Time};

/// Why there is no new file.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The rows can't be had.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// Only a newer version knows what the lines of some tasks say.
    #[error(
        "there are ended tasks of kind `{0}`, which only a newer version of coatcheck knows: use that one"
    )]
    Newer(String),
    /// There is a file of that name, or it can't be made or written.
    #[error("{}", path.display())]
    File {
        /// The new file's.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// A line each ended task.
    pub lines: u64,
    /// Whether a worker is there: what ends from now on is not in the file.
    pub is_worked_on: bool,
}

/// Writes the lines of all tasks that have ended, in the order in which they did, to a new file. Durable when this returns; if it
/// fails, there is no such file.
///
/// # Errors
/// If there is one already, it can't be written, or the rows can't be read.
pub async fn rebuild(
    store: &dyn Store,
    path: &Path,
    progress: &VerifyProgress,
) -> Result<Rebuilt, RebuildError> {
    let failed = |source| RebuildError::File { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path).map_err(failed)?;
    let written = write(store, file, progress, failed).await;
    match written.and_then(|lines| sync_folder(path).map_err(failed).map(|()| lines)) {
        Ok(lines) => Ok(Rebuilt { lines, is_worked_on: store.live_leases().await? > 0 }),
        Err(error) => {
            // It is ours, and not whole.
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

/// All that have ended, and when. No more of them than that fits into memory.
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

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
