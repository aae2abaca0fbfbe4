//! A log that is its own cursor: its last line determines what comes next, so no ledger is needed.
//!
//! For lines with an order of their own, if the writer can ask: "which line comes after this one?" Under the lock the last line that the
//! caller recognizes is looked up, in the file or, if it has none, in the newest of its rotated files. A writer that appends only later
//! lines writes each line once and in order, in any number of processes, killed at any moment, and remembers nothing. [`Resumed`] shows
//! how.
//!
//! This promises less than [`settle`](SharedLog::settle), which reads its lines back: a foreign program that writes half a line, without
//! the lock, at the moment when our lines follow spoils the first of them for good.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::append::{append, sync};
use crate::backwards::{End, end_of};
use crate::device::{nuls_at_end, read_from_device};
use crate::error::LogError;
use crate::read::Rest;
use crate::rotation::{self, LIST_TRIES};
use crate::{Guard, SharedLog, lock};

/// The log, locked until dropped, with the value of its last line.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("numbers.log");
/// use shared_log::SharedLog;
///
/// let log = SharedLog::new(&path)?;
/// for _ in 0..3 {
///     let Some(mut resumed) = log.resume(|line| str::from_utf8(line).ok()?.parse().ok())? else { break };
///     let next = resumed.last().map_or(1, |last: &u32| last + 1);
///     resumed.append(format!("{next}\n").as_bytes())?;
///     resumed.sync()?;
/// }
/// assert_eq!(std::fs::read_to_string(&path)?, "1\n2\n3\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resumed<T> {
    guard: Guard,
    last: Option<T>,
    rest: Rest,
    /// Torn lines of rotated files.
    torn: Vec<Torn>,
}

impl SharedLog {
    /// Takes the log, as [`try_lock`](Self::try_lock) does, and looks for its last line that `recognize` knows.
    ///
    /// If the file has none, its rotated files are searched, the most recently changed first: files beside it with its name followed by
    /// `.` or `-` and more. A file that has a `.lock` of its own is another log. The newest file must not be compressed.
    ///
    /// Foreign lines are flushed first, and read from the device. NULs at the end of a file with known lines were left unwritten by a
    /// power cut, and are cut off.
    ///
    /// # Errors
    /// Those of [`try_lock`](Self::try_lock), [`LogError::Unwritable`] and [`LogError::Compressed`] for a rotated file,
    /// [`LogError::SyncFailed`] and [`LogError::Io`].
    pub fn resume<T>(&self, recognize: impl Fn(&[u8]) -> Option<T>) -> Result<Option<Resumed<T>>, LogError> {
        let Some(guard) = self.try_lock()? else { return Ok(None) };
        read_from_device(guard.file()).map_err(LogError::SyncFailed)?;
        let mut end = end_of(guard.file(), &recognize).map_err(LogError::Io)?;
        let unwritten = nuls_at_end(guard.file()).map_err(LogError::Io)?;
        if let Some(unwritten) = unwritten.filter(|from| end.last.is_some() || *from == 0) {
            guard.file().set_len(unwritten).map_err(LogError::writing)?;
            end = end_of(guard.file(), &recognize).map_err(LogError::Io)?;
        }
        let End { last, rest } = end;
        let (last, torn) = match last {
            Some(last) => (Some(last), Vec::new()),
            None => {
                let (last, torn) = self.last_of_rotated(Some(guard.file()), &recognize)?;
                (last.map(|(last, _)| last), torn)
            }
        };
        for (file, _) in &torn {
            // For foreign programs that still write to it; the lock file keeps our own processes out.
            lock::try_lock(file).map_err(LogError::Io)?;
        }
        Ok(Some(Resumed { guard, last, rest, torn }))
    }

    /// Returns what [`resume`](Self::resume) would find, without taking the lock and without creating the log. It is only a hint, for the
    /// log may change at any time.
    ///
    /// # Errors
    /// [`LogError::Unwritable`] if a file can't be opened, [`LogError::Compressed`], else [`LogError::Io`].
    pub fn last_line<T>(&self, recognize: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, LogError> {
        Ok(self.last_line_and_file(recognize)?.map(|(last, _)| last))
    }

    /// As [`last_line`](Self::last_line), with the file that has it: the log, or what it was renamed to.
    ///
    /// # Errors
    /// Those of [`last_line`](Self::last_line).
    pub fn last_line_and_file<T>(
        &self,
        recognize: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Last<T>>, LogError> {
        let own = rotation::open(&self.path)?;
        if let Some(file) = &own {
            let end = end_of(file, &recognize).map_err(LogError::Io)?;
            if let Some(last) = end.last {
                return Ok(Some((last, self.path.clone())));
            }
        }
        Ok(self.last_of_rotated(own.as_ref(), &recognize)?.0)
    }

    /// Returns the last known line of the newest rotated file that has one, with that file's path, and the torn lines there and in newer
    /// files.
    fn last_of_rotated<T>(
        &self,
        current: Option<&File>,
        recognize: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(Option<Last<T>>, Vec<Torn>), LogError> {
        // While other programs rotate, a listed file may have moved: none may be skipped.
        'listed: for _ in 0..LIST_TRIES {
            let mut torn = Vec::new();
            for sibling in rotation::siblings(&self.path, current)? {
                let Some(file) = sibling.open()? else { continue 'listed };
                sibling.refuse_compressed(&file)?;
                read_from_device(&file).map_err(LogError::SyncFailed)?;
                let End { last, rest } = end_of(&file, &recognize).map_err(LogError::Io)?;
                if let Rest::Torn(half) = rest {
                    torn.push((file, half));
                }
                if let Some(last) = last {
                    return Ok((Some((last, sibling.path().to_owned())), torn));
                }
            }
            return Ok((None, torn));
        }
        Err(LogError::Io(io::Error::other(
            "the log was renamed during each of several attempts to list its files",
        )))
    }
}

/// A known line, and the path of the file that has it.
type Last<T> = (T, PathBuf);

/// A rotated file that ends with half a line, and that half.
type Torn = (File, Vec<u8>);

impl<T> Resumed<T> {
    /// Returns the value of the last known line; `None` if the log has none.
    pub fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    /// Completes the half line that its writer left behind, in the log or a rotated file, if `rest_of` returns its missing part, without
    /// the newline. Returns true if it did; the caller's next line then follows the completed one.
    ///
    /// # Errors
    /// As [`Guard::append`], and [`Guard::sync`] for a rotated file. Start again after an error.
    pub fn complete(&mut self, rest_of: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<bool, LogError> {
        let with_newline = |mut rest: Vec<u8>| {
            rest.push(b'\n');
            rest
        };
        if let Rest::Torn(half) = &self.rest
            && let Some(rest) = rest_of(half)
        {
            self.guard.append(&with_newline(rest))?;
            self.rest = Rest::Nothing;
            return Ok(true);
        }
        for (file, half) in &self.torn {
            if let Some(rest) = rest_of(half) {
                append(file, &with_newline(rest))?;
                sync(file)?;
                self.torn.clear();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends whole lines, each with its newline. A half line that was not completed is foreign: a newline is inserted first.
    ///
    /// # Errors
    /// As [`Guard::append`]. Start again after an error.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), LogError> {
        if self.rest == Rest::Nothing {
            return self.guard.append(lines);
        }
        self.rest = Rest::Nothing;
        self.guard.append(&[b"\n", lines].concat())
    }

    /// Flushes what was appended to the device.
    ///
    /// # Errors
    /// [`LogError::SyncFailed`]: end the process, don't retry.
    pub fn sync(&self) -> Result<(), LogError> {
        self.guard.sync()
    }
}
