//! Reads the text after an offset, a batch at a time: whole lines, and perhaps a torn one at the end.
//!
//! This module does not know whose lines they are, and does not trust them: memory is bounded whatever the file holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use twox_hash::XxHash3_64;

/// The longest line of an entry, without its newline. Longer ones are foreign and aren't kept in memory.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The number of lines at which a batch is full…
const BATCH_LINES: usize = 2000;
/// …or the number of bytes of its lines.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Some of the lines after an offset.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whole lines without their newlines.
    pub(crate) lines: Vec<Vec<u8>>,
    /// The number of whole lines too long for an entry.
    pub(crate) too_long: usize,
    /// The offset just after the last newline read; before the first newline, the starting offset.
    pub(crate) end: u64,
    /// The text after `end`.
    pub(crate) rest: Rest,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// The beginning of a line, without a newline.
    Torn(Vec<u8>),
    /// As `Torn`, but too long for the beginning of an entry's line.
    TornTooLong,
    /// The batch was full before the end of the file.
    Unread,
}

/// Reads the lines after the offset `from`, the beginning of a line.
pub(crate) fn lines_after(file: &File, from: u64) -> io::Result<Batch> {
    let mut reader = BufReader::with_capacity(MAX_LINE_BYTES, FromOffset { file, offset: from });
    let mut batch = Batch { lines: Vec::new(), too_long: 0, end: from, rest: Rest::Nothing };
    let mut bytes = 0;
    loop {
        if batch.lines.len() + batch.too_long >= BATCH_LINES || bytes >= BATCH_BYTES {
            batch.rest = Rest::Unread;
            return Ok(batch);
        }
        let line = read_line(&mut reader)?;
        if !line.is_whole {
            batch.rest = match line.text {
                Some(text) if text.is_empty() => Rest::Nothing,
                Some(text) => Rest::Torn(text),
                None => Rest::TornTooLong,
            };
            return Ok(batch);
        }
        batch.end += line.length;
        match line.text {
            Some(text) => {
                bytes += text.len();
                batch.lines.push(text);
            }
            None => batch.too_long += 1,
        }
    }
}

pub(crate) struct Line {
    /// The line; `None` if it is too long.
    pub(crate) text: Option<Vec<u8>>,
    /// Its bytes in the file, with the newline.
    pub(crate) length: u64,
    /// Whether a newline ends it, and not the end of the file.
    pub(crate) is_whole: bool,
}

pub(crate) fn read_line(reader: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Line { text: Some(Vec::new()), length: 0, is_whole: false };
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let piece = &chunk[..newline.unwrap_or(chunk.len())];
        line.text = line.text.filter(|text| text.len() + piece.len() <= MAX_LINE_BYTES);
        if let Some(text) = &mut line.text {
            text.extend_from_slice(piece);
        }
        let consumed = piece.len() + usize::from(newline.is_some());
        reader.consume(consumed);
        line.length += consumed as u64;
        line.is_whole = newline.is_some();
        if line.is_whole || consumed == 0 {
            return Ok(line);
        }
    }
}

/// Reads from an offset, without the descriptor's own position.
#[derive(Debug)]
pub(crate) struct FromOffset<'f> {
    pub(crate) file: &'f File,
    pub(crate) offset: u64,
}

impl Read for FromOffset<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Returns the XXH3 of the 64 bytes before `offset`, or of as many as there are.
pub(crate) fn check_before(file: &File, offset: u64) -> io::Result<i64> {
    let mut bytes = [0; 64];
    let bytes = &mut bytes[..offset.min(64) as usize];
    file.read_exact_at(bytes, offset - bytes.len() as u64)?;
    Ok(XxHash3_64::oneshot(bytes) as i64)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn batch_of(content: &[u8], from: u64) -> Batch {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        lines_after(&file, from).unwrap()
    }

    #[test]
    fn whole_lines_are_told_from_a_torn_one() {
        let batch = batch_of(b"one\n\ntwo\nthr", 4);

        assert_eq!(batch.lines, [b"".to_vec(), b"two".to_vec()]);
        assert_eq!(batch.end, 9);
        assert_eq!(batch.rest, Rest::Torn(b"thr".to_vec()));
    }

    #[test]
    fn the_longest_line_is_kept_and_a_longer_one_is_not() {
        let mut content = vec![b'a'; MAX_LINE_BYTES];
        content.push(b'\n');
        content.extend(vec![b'b'; MAX_LINE_BYTES + 1]);
        content.push(b'\n');
        let end = content.len() as u64;
        content.extend(vec![b'c'; 3 * MAX_LINE_BYTES]);

        let batch = batch_of(&content, 0);

        assert_eq!(batch.lines, [vec![b'a'; MAX_LINE_BYTES]]);
        assert_eq!((batch.too_long, batch.end), (1, end));
        assert_eq!(batch.rest, Rest::TornTooLong);
    }

    #[test]
    fn a_batch_is_bounded_and_the_next_goes_on_where_it_ended() {
        let content = b"x\n".repeat(BATCH_LINES + 1);

        let first = batch_of(&content, 0);
        let second = batch_of(&content, first.end);

        assert_eq!((first.lines.len(), first.rest), (BATCH_LINES, Rest::Unread));
        assert_eq!((second.lines.len(), second.rest), (1, Rest::Nothing));
    }

    #[test]
    fn a_batch_of_long_lines_is_bounded_by_bytes() {
        let mut line = vec![b'x'; MAX_LINE_BYTES];
        line.push(b'\n');

        let batch = batch_of(&line.repeat(100), 0);

        assert_eq!(batch.lines.len(), BATCH_BYTES / MAX_LINE_BYTES);
        assert_eq!(batch.rest, Rest::Unread);
    }
}
