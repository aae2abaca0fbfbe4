//! One file, many appending processes: each entry of a ledger gets exactly one line.
//!
//! Where lines have an order that can be asked for, no ledger is needed: see [`Resumed`]. All else here is for those that have
//! none. Who checks what was written reads it by [`LogFile`].
//!
//! Some table of yours (the [`Ledger`]) holds entries that each owe a line to a plain text file, and remembers which
//! were written. Any number of processes and threads call [`SharedLog::settle`] whenever they like. Whoever gets the
//! file's lock writes everybody's lines; the others are told [`Settled::Busy`] and lose nothing.
//!
//! # What is promised
//! - Each entry has exactly one whole line in the file or in one of its rotated siblings, after `kill -9` at any
//!   instant, with any number of processes. An entry is marked as logged only when its line was read back from the file
//!   and flushed to the device; what another process wrote is read from the device, not from the page cache, which goes on
//!   telling what a failed flush has lost.
//! - What others write in the file is never removed or changed. A half line of theirs is closed by a newline before
//!   the next line of ours, and counted. Only what a power cut leaves unwritten, NULs up to the end of a sector or of the file,
//!   is cut off after the last settled line, with what stands after it: nobody had flushed that.
//! - The file may be renamed within its folder at any time (`mv log log.1`); no signal is needed. Neither the device number nor
//!   the path tells which file it is: both change when a disk is mounted anew or elsewhere.
//! - Other programs that lock with `lockf` (or `fcntl`) are respected and respect us. `flock` is another lock: it
//!   excludes neither.
//! - Nobody waits for a lock, and memory doesn't depend on what is in the file.
//!
//! # What is not
//! - If the file is deleted, emptied, replaced, or moved to another folder (or compressed) before the next step, that is
//!   noticed and reported ([`Begun::AfterLoss`]), and writing goes on. Lines that went with it are not written again,
//!   except those that weren't marked yet.
//! - A program that writes without the lock may spoil a line of ours by writing into a half one. The spoiled line
//!   stays, and the entry gets its whole line after it.
//! - All processes share one kernel. On network file systems the locks or the inode numbers don't hold what is needed
//!   here, so [`SharedLog::new`] refuses them.
//! - A process beyond its file size limit gets `SIGXFSZ`, which kills it by default. Ignore that signal, and the limit
//!   is an error like a full disk.
//!
//! # Example
//! ```
//! use std::convert::Infallible;
//! use shared_log::{Entry, Head, Ledger, Settled, SharedLog};
//!
//! /// Two bookings. A real ledger is a table that several processes share, with real transactions.
//! #[derive(Default)]
//! struct Bookings { head: Option<Head>, logged: Vec<usize> }
//!
//! const LINES: [&str; 2] = ["1 table for two", "2 table for five"];
//!
//! impl Bookings {
//!     fn owed(&self) -> impl Iterator<Item = Entry<usize>> {
//!         (0..LINES.len()).filter(|id| !self.logged.contains(id)).map(|id| Entry { id, line: LINES[id].to_owned() })
//!     }
//! }
//!
//! impl Ledger for Bookings {
//!     type Id = usize;
//!     type Error = Infallible;
//!
//!     fn head(&mut self) -> Result<Option<Head>, Infallible> {
//!         Ok(self.head)
//!     }
//!     fn begin(&mut self, seen: Option<u32>, new: &Head) -> Result<bool, Infallible> {
//!         let unchanged = self.head.map(|head| head.generation) == seen;
//!         if unchanged {
//!             self.head = Some(*new);
//!         }
//!         Ok(unchanged)
//!     }
//!     fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<usize>>, Infallible> {
//!         Ok(lines.iter().map(|line| LINES.iter().position(|known| known.as_bytes() == *line)).collect())
//!     }
//!     fn owed(&mut self, limit: usize) -> Result<Vec<Entry<usize>>, Infallible> {
//!         Ok(Bookings::owed(self).take(limit).collect())
//!     }
//!     fn owed_beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<usize>>, Infallible> {
//!         Ok(Bookings::owed(self).find(|entry| entry.line.as_bytes().starts_with(prefix)))
//!     }
//!     fn commit(&mut self, written: &[usize], head: &Head) -> Result<bool, Infallible> {
//!         self.logged.extend(written);
//!         let moves = self.head.is_some_and(|now| now.generation == head.generation && now.committed < head.committed);
//!         if moves {
//!             self.head = Some(*head);
//!         }
//!         Ok(moves)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("bookings.log");
//! let mut bookings = Bookings::default();
//! let log = SharedLog::new(&path)?;
//!
//! let settled = log.settle(&mut bookings)?;
//!
//! assert!(matches!(settled, Settled::Done(done) if done.written == 2));
//! assert_eq!(std::fs::read_to_string(&path)?, "1 table for two\n2 table for five\n");
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

mod append;
mod backwards;
mod device;
mod error;
mod ledger;
mod lines;
mod lock;
mod read;
mod resume;
mod rotation;
mod settle;
mod unmarked;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};

pub use device::read_from_device;
pub use error::{LogError, SettleError};
pub use ledger::{Entry, Head, Ledger};
pub use lines::{Line, Lines, LogFile};
pub use lock::{FileLock, try_lock};
pub use read::MAX_LINE_BYTES;
pub use resume::Resumed;
pub use settle::{Begun, Done, Settled};

use crate::lock::LockedFile;

/// A log file that other processes and threads append to as well.
///
/// Holds paths and no descriptor. Each step opens the file anew, so it follows rotations, and so threads exclude each
/// other just as processes do: a lock belongs to what was opened.
#[derive(Debug, Clone)]
pub struct SharedLog {
    path: PathBuf,
    folder: PathBuf,
    lock_path: PathBuf,
}

impl SharedLog {
    /// Names the log. Makes its folder if that is missing; the file itself is made by the first step.
    ///
    /// Beside the file lives `{path}.lock`, which is never rotated and must not be removed.
    ///
    /// # Errors
    /// [`LogError::Network`] on a network file system, [`LogError::Unwritable`] if the folder can't be made, or the
    /// path is a folder.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path::absolute(path.as_ref()).map_err(|error| LogError::opening(path.as_ref(), error))?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        let lock_path = lock::path_for(&path);

        // The log is made to be shared, within a group: others have no part in it, and no umask gives them one.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&folder)
            .map_err(|error| LogError::opening(&folder, error))?;
        if let Some(file_system) = lock::network_file_system(&folder).map_err(LogError::Io)? {
            return Err(LogError::Network { path: folder, file_system });
        }
        if path.is_dir() {
            return Err(LogError::Unwritable { path, source: std::io::ErrorKind::IsADirectory.into() });
        }
        Ok(Self { path, folder, lock_path })
    }

    /// Takes the log for this thread alone, or says `None` at once if someone else has it.
    ///
    /// The log is made if it is missing.
    ///
    /// # Errors
    /// [`LogError::Unwritable`] if what stands at the path can't be opened as a file of ours, [`LogError::Full`] if
    /// there is no space to make it, else [`LogError::Io`].
    pub fn try_lock(&self) -> Result<Option<Guard>, LogError> {
        // The log's own lock is the one that foreign programs see, but it goes away with a rotated file: two of us
        // could each hold one. So ours is on a file that stays.
        let opening = |error| LogError::opening(&self.lock_path, error);
        let Some(lock) = FileLock::try_acquire(&self.lock_path).map_err(opening)? else { return Ok(None) };

        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o640);
        let opening = |error| LogError::opening(&self.path, error);
        let Some(file) = LockedFile::try_open(&self.path, &mut options).map_err(opening)? else {
            return Ok(None);
        };
        Ok(Some(Guard { file, _lock: lock }))
    }
}

/// The right to append to the log, until dropped.
#[derive(Debug)]
pub struct Guard {
    file: LockedFile,
    _lock: FileLock,
}

impl Guard {
    /// The locked file, open for reading and appending. Its contents were written by anybody.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends `text` in one write, unless the kernel takes less of it at once.
    ///
    /// # Errors
    /// [`LogError::Full`] if it doesn't fit, else [`LogError::Io`]; a part of it may be in the file then.
    pub fn append(&self, text: &[u8]) -> Result<(), LogError> {
        append::append(&self.file, text)
    }

    /// Flushes what was appended to the device.
    ///
    /// # Errors
    /// [`LogError::SyncFailed`]: end the process, don't try again.
    pub fn sync(&self) -> Result<(), LogError> {
        append::sync(&self.file)
    }
}
