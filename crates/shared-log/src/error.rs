//! Errors; each variant calls for another reaction of the caller.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::read::MAX_LINE_BYTES;

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log must be placed elsewhere: locks or inode numbers are not reliable on this file system.
    #[error("{}: expected a local file system, found {file_system}; choose another folder for the log", path.display())]
    Network {
        /// The log's folder.
        path: PathBuf,
        /// The kind of file system.
        file_system: &'static str,
    },
    /// The path of the log has a directory, symbolic link, pipe or forbidden file: a person must act. Nothing was written, and the next
    /// call looks again.
    #[error("{} can't be written", path.display())]
    Unwritable {
        /// The log, its lock file, its folder or a rotated file of it.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A rotated file is compressed, and its lines are needed: the last one, if no newer file has a line of the caller's, or all. A person
    /// must act; nothing was written.
    #[error("{}: expected an uncompressed log, found a compressed file; decompress it, or move it to another folder", path.display())]
    Compressed {
        /// The rotated file.
        path: PathBuf,
    },
    /// The disk, the quota or the allowed file size is used up. Call again later: a partial line will be completed.
    #[error("the disk of the log is full")]
    Full(#[source] io::Error),
    /// The kernel may have dropped the unwritten pages and would say "success" next time. End the process: the next one reads the file
    /// again.
    #[error("the log could not be flushed to the device")]
    SyncFailed(#[source] io::Error),
    /// Any other error. Call again later.
    #[error("the log could not be read or written")]
    Io(#[source] io::Error),
}

impl LogError {
    /// Returns the error for a failure to open `path`.
    pub(crate) fn opening(path: &Path, source: io::Error) -> Self {
        match source.raw_os_error() {
            // The process or the machine lacks a resource; all other errors are about the path.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOLCK | libc::EIO) => Self::Io(source),
            _ if is_full(&source) => Self::Full(source),
            _ => Self::Unwritable { path: path.to_owned(), source },
        }
    }

    /// Returns the error for a failed write.
    pub(crate) fn writing(source: io::Error) -> Self {
        if is_full(&source) { Self::Full(source) } else { Self::Io(source) }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why [`settle`](crate::SharedLog::settle) stopped. The next call finds what was written by then.
#[derive(Debug, thiserror::Error)]
pub enum SettleError<E: std::error::Error + 'static> {
    /// The file failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[source] E),
    /// The log's file is not here, and another process has written a log of this name elsewhere not long ago. Nothing was written. Give
    /// each log a name of its own.
    #[error("the log of this name is at {location}; give each log a name of its own")]
    OtherLocation {
        /// Where it is.
        location: String,
    },
    /// The ledger's line for this entry could never be found again: an error of the ledger. Nothing was written.
    #[error("entry {id}: expected a line of 1 to {MAX_LINE_BYTES} bytes without a newline")]
    BadLine {
        /// The entry's id, formatted by `Debug`.
        id: String,
    },
}
