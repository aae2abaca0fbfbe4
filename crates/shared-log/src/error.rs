//! What can go wrong, by what a caller does about it.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::read::MAX_LINE_BYTES;

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log must live elsewhere: locks or inode numbers can't be relied on there.
    #[error("{} is on {file_system}; a shared log needs a local file system", path.display())]
    Network {
        /// The log's folder.
        path: PathBuf,
        /// Its kind of file system.
        file_system: &'static str,
    },
    /// A directory, symbolic link, pipe or forbidden file stands where the log should be: a person must act. Nothing
    /// was written, and the next call looks again.
    #[error("{} can't be written", path.display())]
    Unwritable {
        /// What stands in the way: the log, its lock file, its folder or its rotated sibling.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What the log was renamed to is compressed, and its lines are needed: the last one, where nothing newer has a line of the
    /// caller's, or all. A person must act; nothing was written.
    #[error("{} is compressed, so its lines can't be read", path.display())]
    Compressed {
        /// The rotated file.
        path: PathBuf,
    },
    /// Out of space, quota or allowed file size. Call again later: what was written in part will be completed.
    #[error("there is no space for the log")]
    Full(#[source] io::Error),
    /// The kernel may have dropped what it couldn't write and would say "success" next time. End the process: the next
    /// one reads the file anew.
    #[error("the log could not be flushed to the device")]
    SyncFailed(#[source] io::Error),
    /// Something else. Call again later.
    #[error("the log could not be read or written")]
    Io(#[source] io::Error),
}

impl LogError {
    /// What a failure to open `path` means.
    pub(crate) fn opening(path: &Path, source: io::Error) -> Self {
        match source.raw_os_error() {
            // The process or the machine is short of something; all else is the state of the path.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOLCK | libc::EIO) => Self::Io(source),
            _ if is_full(&source) => Self::Full(source),
            _ => Self::Unwritable { path: path.to_owned(), source },
        }
    }

    /// What a failed write means.
    pub(crate) fn writing(source: io::Error) -> Self {
        if is_full(&source) { Self::Full(source) } else { Self::Io(source) }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why [`settle`](crate::SharedLog::settle) stopped. What was written by then is found by the next call.
#[derive(Debug, thiserror::Error)]
pub enum SettleError<E: std::error::Error + 'static> {
    /// The file's side.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger's side.
    #[error("the ledger failed")]
    Ledger(#[source] E),
    /// A mistake of the ledger: this entry's line could never be found again. Nothing was written.
    #[error(
        "entry {id} has a line that is empty, has a newline in it or is longer than {MAX_LINE_BYTES} bytes"
    )]
    BadLine {
        /// The entry's id, as `Debug` shows it.
        id: String,
    },
}
