//! The file: its last record is the cursor, and new records are appended after it, under the lock.

use std::path::{Path, PathBuf};

use shared_log::{LogError, Resumed, SharedLog};
use uuid::Uuid;

use super::format::{self, Format, id_of};
use super::memory::Memory;

/// The approximate bytes of one write.
const WRITE_BYTES: usize = 1 << 20;

/// The file, which other programs write as well.
#[derive(Debug)]
pub struct Target {
    log: SharedLog,
    format: Format,
}

/// The outcome of a try to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Another process has the file locked.
    Busy,
    /// That many lines were written; the memory is empty.
    All(usize),
    /// Nothing was written: the file's last record is not known here. The memory now begins after it, and is empty.
    Elsewhere,
}

impl Target {
    /// # Errors
    /// If the file or its folder can't be made or written.
    pub fn open(path: &Path, format: Format) -> Result<Self, LogError> {
        let log = SharedLog::new(path)?;
        // Makes the file, so that an obstacle is known before anything is fetched. If another process has it locked, that one writes it.
        log.try_lock()?;
        Ok(Self { log, format })
    }

    /// Returns the format of the last record, and the file that has it: this one, or one that it was renamed to. `None` without a record.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn last_format(&self) -> Result<Option<(Format, PathBuf)>, LogError> {
        self.log.last_line_and_file(|line| format::read(line).map(|(format, _)| format))
    }

    /// Returns the id of the last record, as far as it can be read without the lock.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn cursor(&self) -> Result<Option<Uuid>, LogError> {
        self.log.last_line(id_of)
    }

    /// Writes the memory's records after the file's last one. Waits for the disk, but not for the lock.
    ///
    /// # Errors
    /// If it can't be written; the next call finds in the file how far it came.
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
    // Only the first record can be half written: each is begun when those before it are whole.
    if let Some(first) = records.peek()
        && resumed.complete(|half| Format::rest(&first.json, half))?
    {
        records.next();
        lines += 1;
    }
    let mut text = String::new();
    while let Some(record) = records.next() {
        // It was read when it was received, so there is a line for each.
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
