//! One file, many appending processes: each entry of a ledger gets exactly one line.
//!
//! If the lines have an order of their own that the writer can ask for, no ledger is needed: see [`Resumed`]. The rest of this page is
//! about lines without such an order. A program that checks a log reads it by [`LogFile`].
//!
//! A table of yours (the [`Ledger`]) holds entries, each of which must get one line in a plain text file. The entries have an order, and
//! the table keeps the log's [`Head`]: how far the file is known, and the place in that order up to which it has the lines. Any number of
//! processes and threads call [`SharedLog::settle`] at any time. The one that gets the file's lock writes the lines of all; the others get
//! [`Settled::Busy`] and lose nothing. One table may have any number of logs, each with a head of its own.
//!
//! # What is promised
//! - Each entry has exactly one whole line in the file or in one of its rotated files, after `kill -9` at any
//!   instant, with any number of processes. The place moves past an entry only when its line was read back from the file
//!   and flushed to the device. Lines of other processes are read from the device, not from the page cache, which still has
//!   bytes that a failed flush has lost.
//! - The lines are in the entries' order, unless a program that writes without the lock has spoiled one.
//! - A log without a head whose files have lines begins with these: none is written twice.
//! - Foreign lines in the file are never removed or changed. A foreign half line is closed by a newline before
//!   the next line of ours, and counted. Only bytes that a power cut leaves unwritten, NULs up to the end of a sector or of the
//!   file, are cut off after the last settled line, together with the text after them: no process had flushed it.
//! - The file may be renamed within its folder at any time (`mv log log.1`); no signal is needed. Neither the device number nor
//!   the path identifies the file: both change when a disk is mounted again or elsewhere.
//! - Other programs that lock with `lockf` (or `fcntl`) are respected and respect us. `flock` is another lock: it
//!   excludes neither.
//! - No call waits for a lock, and memory doesn't depend on the file's content: but a log without a head remembers, while it reads its
//!   files, the lines that follow a missing one.
//!
//! # What is not
//! - If the file is deleted, emptied, replaced, or moved to another folder (or compressed) before the next step, the step
//!   reports it ([`Begun::AfterLoss`]), and writing goes on. Lines that went with it are not written again,
//!   except those that weren't known yet.
//! - A program that writes without the lock may spoil a line of ours by writing into a half one. The spoiled line
//!   stays, and the entry gets its whole line after it.
//! - All processes must share one kernel. Locks or inode numbers of network file systems don't give the guarantees needed
//!   here, so [`SharedLog::new`] rejects them.
//! - A process beyond its file size limit gets `SIGXFSZ`, which kills it by default. Ignore that signal, and the limit
//!   becomes an error like a full disk.
//!
//! # Example
//! ```
//! use std::convert::Infallible;
//! use shared_log::{Entry, HeadOf, Ledger, PageOf, Placed, Settled, SharedLog};
//!
//! /// Two bookings, whose ids are their places. A real ledger is a table that several processes share, with real transactions.
//! #[derive(Default)]
//! struct Bookings { head: Option<HeadOf<Bookings>> }
//!
//! const LINES: [&str; 2] = ["1 table for two", "2 table for five"];
//!
//! fn find(is_it: impl Fn(&str) -> bool) -> Option<usize> {
//!     Some(LINES.iter().position(|line| is_it(line))? + 1)
//! }
//!
//! impl Ledger for Bookings {
//!     type Id = usize;
//!     type Place = usize;
//!     type Error = Infallible;
//!
//!     fn head(&mut self) -> Result<Option<HeadOf<Self>>, Infallible> {
//!         Ok(self.head.clone())
//!     }
//!     fn store(&mut self, seen: Option<u64>, head: &HeadOf<Self>) -> Result<bool, Infallible> {
//!         let is_unchanged = self.head.as_ref().map(|head| head.version) == seen;
//!         if is_unchanged {
//!             self.head = Some(head.clone());
//!         }
//!         Ok(is_unchanged)
//!     }
//!     fn after(&mut self, place: usize, limit: usize) -> Result<Option<PageOf<Self>>, Infallible> {
//!         let entry = |id: usize| Placed { place: id, id, line: Some(LINES[id - 1].to_owned()) };
//!         Ok(Some((place + 1..=LINES.len()).map(entry).take(limit).collect()))
//!     }
//!     fn those_after(&mut self, place: usize, ids: Vec<usize>) -> Result<Vec<usize>, Infallible> {
//!         Ok(ids.into_iter().filter(|id| *id > place).collect())
//!     }
//!     fn before_first(&mut self, ids: Vec<usize>) -> Result<usize, Infallible> {
//!         Ok(ids.into_iter().min().unwrap_or(1) - 1)
//!     }
//!     fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<usize>>, Infallible> {
//!         Ok(lines.iter().map(|line| find(|known| known.as_bytes() == *line)).collect())
//!     }
//!     fn beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<usize>>, Infallible> {
//!         let id = find(|line| line.as_bytes().starts_with(prefix));
//!         Ok(id.map(|id| Entry { id, line: LINES[id - 1].to_owned() }))
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
mod unseen;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};

pub use device::read_from_device;
pub use error::{LogError, SettleError};
pub use ledger::{Entry, Head, HeadOf, Ledger, PageOf, Placed};
pub use lines::{Line, Lines, LogFile};
pub use lock::{FileLock, try_lock};
pub use read::MAX_LINE_BYTES;
pub use resume::Resumed;
pub use settle::{Begun, Done, Settled};

use crate::lock::LockedFile;

/// A log file that other processes and threads append to as well.
///
/// It holds paths and no descriptor. Each step opens the file again, so it follows rotations, and threads exclude each other just as
/// processes do: a lock belongs to the open file description.
#[derive(Debug, Clone)]
pub struct SharedLog {
    path: PathBuf,
    folder: PathBuf,
    lock_path: PathBuf,
}

impl SharedLog {
    /// Creates a handle of the log at that path. Creates its folder if that is missing; the first step creates the file itself.
    ///
    /// Beside the file is `{path}.lock`, which is never rotated and must not be removed.
    ///
    /// # Errors
    /// [`LogError::Network`] on a network file system, [`LogError::Unwritable`] if the folder can't be made, or the
    /// path is a folder.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path::absolute(path.as_ref()).map_err(|error| LogError::opening(path.as_ref(), error))?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        let lock_path = lock::path_for(&path);

        // The log is shared within a group: other users have no access to the folder, whatever the umask is.
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

    /// Locks the log for this thread alone; returns `None` at once if another holder has it.
    ///
    /// Creates the log if it is missing.
    ///
    /// # Errors
    /// [`LogError::Unwritable`] if the path can't be opened as a regular file, [`LogError::Full`] if the disk is full,
    /// else [`LogError::Io`].
    pub fn try_lock(&self) -> Result<Option<Guard>, LogError> {
        // Foreign programs see the lock on the log, but that lock goes away with a rotated file: two of our processes could each hold one.
        // So our own lock is on a file that stays.
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
    /// Returns the locked file, open for reading and appending. Any program may have written its content.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends `text` in one write, unless the kernel takes only a part of it at once.
    ///
    /// # Errors
    /// [`LogError::Full`] if it doesn't fit, else [`LogError::Io`]; a part of it may be in the file then.
    pub fn append(&self, text: &[u8]) -> Result<(), LogError> {
        append::append(&self.file, text)
    }

    /// Flushes what was appended to the device.
    ///
    /// # Errors
    /// [`LogError::SyncFailed`]: end the process, don't retry.
    pub fn sync(&self) -> Result<(), LogError> {
        append::sync(&self.file)
    }
}
