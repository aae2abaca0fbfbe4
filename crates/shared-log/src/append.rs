//! Text to append, and the append itself. This module does not decide which lines count as written: they are read back from the file.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::Write;

use crate::error::LogError;
use crate::ledger::Entry;
use crate::read::{Batch, MAX_LINE_BYTES};

/// How to end a torn line at the end of the file.
#[derive(Debug)]
pub(crate) enum Tail<Id> {
    /// There is nothing to end, or it stays as it is.
    Leave,
    /// Append the rest of this entry's line, of which the file has that many bytes: its writer died.
    Complete(Entry<Id>, usize),
    /// Append a newline: the torn line belongs to another program.
    Close,
}

/// Text to append, and the entries whose lines will be in the file afterwards.
#[derive(Debug)]
pub(crate) struct Text<Id> {
    pub(crate) bytes: Vec<u8>,
    ids: HashMap<Vec<u8>, Id>,
}

impl<Id: Eq + Hash> Text<Id> {
    /// Creates the text. Returns as the error an entry whose line could never be found again.
    pub(crate) fn new(tail: Tail<Id>, entries: Vec<Entry<Id>>) -> Result<Self, Entry<Id>> {
        let mut text = Self { bytes: Vec::new(), ids: HashMap::new() };
        match tail {
            Tail::Leave => {}
            Tail::Complete(entry, written) => text.push(entry, written)?,
            Tail::Close => text.bytes.push(b'\n'),
        }
        for entry in entries {
            text.push(entry, 0)?;
        }
        Ok(text)
    }

    fn push(&mut self, entry: Entry<Id>, written: usize) -> Result<(), Entry<Id>> {
        if entry.line.is_empty() || entry.line.len() > MAX_LINE_BYTES || entry.line.contains('\n') {
            return Err(entry);
        }
        let line = entry.line.into_bytes();
        self.bytes.extend_from_slice(&line[written..]);
        self.bytes.push(b'\n');
        self.ids.insert(line, entry.id);
        Ok(())
    }

    /// Returns those of its entries whose lines are in the file.
    pub(crate) fn found_in(mut self, batch: &Batch) -> Vec<Id> {
        batch.lines.iter().filter_map(|line| self.ids.remove(line)).collect()
    }

    /// Returns the number of entries with lines in the text.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Appends in one write, unless the kernel takes only a part; then the next write returns the reason.
///
/// After an error, a partial line in the file is a torn line like any other.
pub(crate) fn append(mut file: &File, text: &[u8]) -> Result<(), LogError> {
    file.write_all(text).map_err(LogError::writing)
}

/// Flushes the file's data, and the size needed to read it, to the device.
pub(crate) fn sync(file: &File) -> Result<(), LogError> {
    file.sync_data().map_err(LogError::SyncFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Entry<u8> {
        Entry { id: 1, line: line.to_owned() }
    }

    #[test]
    fn the_torn_tail_is_ended_before_anything_follows() {
        let complete = Text::new(Tail::Complete(entry("first"), 2), vec![entry("second")]).unwrap();
        let close = Text::new(Tail::Close, vec![entry("second")]).unwrap();

        assert_eq!(complete.bytes, b"rst\nsecond\n");
        assert_eq!(close.bytes, b"\nsecond\n");
    }

    #[test]
    fn a_line_that_could_not_be_found_again_is_refused() {
        for line in ["", "two\nlines", &"x".repeat(MAX_LINE_BYTES + 1)] {
            assert_eq!(Text::new(Tail::Leave, vec![entry(line)]).unwrap_err(), entry(line));
        }
        assert!(Text::new(Tail::Leave, vec![entry(&"x".repeat(MAX_LINE_BYTES))]).is_ok());
    }
}
