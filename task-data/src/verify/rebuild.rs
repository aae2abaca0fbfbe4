//! Rebuilds the log from the feed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use program::sync_folder;

use super::report::{PAGE, VerifyProgress};
use crate::outcome;
use crate::store::{Place, Store, StoreError};
use crate::tail::number_all;

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
    /// Whether tasks were deleted, whose lines can't be made again.
    pub lacks_deleted: bool,
}

/// Writes the lines of all ended tasks, in the feed's order, to a new file. The file is durable when this returns; on failure
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
        Ok(lines) => Ok(Rebuilt {
            lines,
            is_worked_on: store.live_leases().await? > 0,
            lacks_deleted: store.pruned_until().await?.is_some(),
        }),
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
    number_all(store).await?;
    let mut file = BufWriter::new(file);
    let (mut lines, mut after) = (0, Place::default());
    loop {
        let page = store.outcomes(after, None, PAGE).await?;
        after = page.until;
        for outcome in &page.outcomes {
            let line =
                outcome::line_of(outcome).ok_or_else(|| RebuildError::Newer(outcome.kind.to_string()))?;
            writeln!(file, "{line}").map_err(&failed)?;
            lines += 1;
        }
        progress.rows.fetch_add(page.outcomes.len() as u64, Relaxed);
        if page.is_end {
            break;
        }
    }
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(&failed)?;
    Ok(lines)
}
