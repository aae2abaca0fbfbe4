//! The file: its last record is the cursor, and what follows that one is appended, under the lock.

use std::path::{Path, PathBuf};

use shared_log::{LogError, Resumed, SharedLog};
use uuid::Uuid;

use super::format::{self, Format, id_of};
use super::memory::Memory;

/// Bytes of one write, more or less.
const WRITE_BYTES: usize = 1 << 20;

/// The file that others write as well.
#[derive(Debug)]
pub struct Target {
    log: SharedLog,
    format: Format,
}

/// What became of a try to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Another has the file.
    Busy,
    /// So many lines; nothing is left in memory.
    All(usize),
    /// Nothing: the file's last record is not known here. Memory now begins after it, and is empty.
    Elsewhere,
}

impl Target {
    /// # Errors
    /// When the file can't be had: its folder or itself can't be made or written.
    pub fn open(path: &Path, format: Format) -> Result<Self, LogError> {
        let log = SharedLog::new(path)?;
        // Makes it, so that what stands in the way is known before anything is fetched. Who else has it writes it.
        log.try_lock()?;
        Ok(Self { log, format })
    }

    /// Returns the format of the last record, and the file that has it: this one, or one that it was renamed to. `None`: there is none.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn last_format(&self) -> Result<Option<(Format, PathBuf)>, LogError> {
        self.log.last_line_and_file(|line| format::read(line).map(|(format, _)| format))
    }

    /// The id of its last record as far as can be told without the lock.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn cursor(&self) -> Result<Option<Uuid>, LogError> {
        self.log.last_line(id_of)
    }

    /// Writes what the memory has after the file's last record. Waits for the disk, and not for the lock.
    ///
    /// # Errors
    /// When it can't be written; how far it was is found in the file by the next call.
    pub fn write(&self, memory: &mut Memory) -> Result<Written, LogError> {
        let Some(mut resumed) = self.log.resume(id_of)? else { return Ok(Written::Busy) };
        let cursor = resumed.last().copied();
        if !memory.begin_after(cursor) {
            *memory = Memory::empty_after(cursor);
            return Ok(Written::Elsewhere);
        }
        let lines = append(&mut resumed, self.format, memory)?;
        *memory = Memory::empty_after(memory.last());
        Ok(Written::All(lines))
    }
}

fn append(resumed: &mut Resumed<Uuid>, format: Format, memory: &Memory) -> Result<usize, LogError> {
    let mut records = memory.iter().peekable();
    let mut lines = 0;
    // Only the first one can have been begun: each is begun when those before it are whole.
    if let Some(first) = records.peek()
        && resumed.complete(|half| Format::rest(&first.json, half))?
    {
        records.next();
        lines += 1;
    }
    let mut text = String::new();
    while let Some(record) = records.next() {
        // It was read when it came: there is a line for each.
        text.extend(format.line(&record.json));
        text.push('\n');
        lines += 1;
        if text.len() >= WRITE_BYTES || records.peek().is_none() {
            resumed.append(text.as_bytes())?;
            text.clear();
        }
    }
    if lines > 0 {
        resumed.sync()?;
    }
    Ok(lines)
}
