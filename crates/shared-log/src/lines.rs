//! Reads all lines of a log, from the file itself and from its rotated files, for programs that check it beside its writers.
//!
//! This module locks, creates and changes nothing, and does not trust lines: one that is too long isn't kept in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::libc;

use crate::error::LogError;
use crate::ledger::Head;
use crate::read::{self, FromOffset, MAX_LINE_BYTES};
use crate::rotation::{LIST_TRIES, is_file_of, siblings};

/// The rotated files to return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Siblings {
    /// Only files whose lines can be read; others are an error.
    Readable,
    /// All files.
    All,
}

/// A file with lines of a log: the log itself, or one that it was renamed to. It is open for reading, so a later rename changes nothing.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens the log at that path, if it exists, and its rotated files in the same folder: those whose names begin with the log's own
    /// and continue with a dot or a hyphen. Every line that was in the log when this was called is in one of them.
    ///
    /// # Errors
    /// [`LogError::Unwritable`] if one can't be opened, [`LogError::Compressed`] if one is compressed, so that its lines can't be
    /// read, else [`LogError::Io`].
    pub fn all_of(path: &Path) -> Result<Vec<Self>, LogError> {
        Self::list(path, Siblings::Readable)
    }

    /// Opens the files as [`all_of`](Self::all_of) does, with the compressed ones, for a program that copies them.
    ///
    /// # Errors
    /// As [`all_of`](Self::all_of), without [`LogError::Compressed`].
    pub fn all_of_any_form(path: &Path) -> Result<Vec<Self>, LogError> {
        Self::list(path, Siblings::All)
    }

    fn list(path: &Path, which: Siblings) -> Result<Vec<Self>, LogError> {
        for _ in 0..LIST_TRIES {
            if let Some(files) = Self::try_list(path, which)? {
                return Ok(files);
            }
        }
        Err(LogError::Io(io::Error::other(
            "the log was renamed during each of several attempts to list its files",
        )))
    }

    /// Opens the files; returns `None` if one was moved meanwhile.
    fn try_list(path: &Path, which: Siblings) -> Result<Option<Vec<Self>>, LogError> {
        let log = Self::open(path)?;
        let siblings = siblings(path, log.as_ref().map(|log| &log.file))?;
        let mut files = Vec::from_iter(log);
        for sibling in siblings {
            let Some(opened) = Self::open(sibling.path())? else { return Ok(None) };
            if !sibling.is(&opened.file).map_err(LogError::Io)? {
                return Ok(None);
            }
            if which == Siblings::Readable {
                sibling.refuse_compressed(&opened.file)?;
            }
            files.push(opened);
        }
        Ok(Some(files))
    }

    fn open(path: &Path) -> Result<Option<Self>, LogError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogError::opening(path, error)),
        };
        if !file.metadata().map_err(LogError::Io)?.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file");
            return Err(LogError::opening(path, error));
        }
        Ok(Some(Self { path: path.to_owned(), file }))
    }

    /// Returns the path of the file when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the current size in bytes.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.size())
    }

    /// Returns the time of the last write.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Returns whether `head` refers to this file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn is_of<P, I>(&self, head: &Head<P, I>) -> io::Result<bool> {
        is_file_of(head, &self.file)
    }

    /// Returns a reader of all bytes.
    pub fn from_beginning(&self) -> impl Read {
        FromOffset { file: &self.file, offset: 0 }
    }

    /// Returns the lines from the offset `from`, the beginning of a line, up to the end of the file at the time it is reached.
    pub fn lines(&self, from: u64) -> Lines<'_> {
        let reader = BufReader::with_capacity(MAX_LINE_BYTES, FromOffset { file: &self.file, offset: from });
        Lines { reader, offset: from, is_over: false }
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The offset of the line's beginning.
    pub offset: u64,
    /// The line's bytes without the newline; `None` if they are more than [`MAX_LINE_BYTES`].
    pub text: Option<Vec<u8>>,
    /// Whether a newline ends the line, and not the end of the file.
    pub is_whole: bool,
}

/// The lines of a file, one by one. The last one may be incomplete.
#[derive(Debug)]
pub struct Lines<'f> {
    reader: BufReader<FromOffset<'f>>,
    offset: u64,
    is_over: bool,
}

impl Iterator for Lines<'_> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        if self.is_over {
            return None;
        }
        let read = read::read_line(&mut self.reader);
        self.is_over = !matches!(&read, Ok(line) if line.is_whole);
        let read::Line { text, length, is_whole } = match read {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let offset = self.offset;
        self.offset += length;
        (length > 0).then_some(Ok(Line { offset, text, is_whole }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines_of(files: &[LogFile]) -> Vec<String> {
        let lines = files.iter().flat_map(|file| file.lines(0)).map(|line| line.unwrap().text.unwrap());
        let mut lines: Vec<String> = lines.map(|text| String::from_utf8(text).unwrap()).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_log_and_what_it_was_renamed_to_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for (name, text) in [
            ("log", "a\n"),
            ("log.1", "b\nc\n"),
            ("log-2026", "d"),
            ("logs", "x"),
            ("log.lock", "x"),
            ("other", "x"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }

        assert_eq!(lines_of(&LogFile::all_of(&log).unwrap()), ["a", "b", "c", "d"]);
        fs::remove_file(&log).unwrap();
        assert_eq!(lines_of(&LogFile::all_of(&log).unwrap()), ["b", "c", "d"]);
    }

    #[test]
    fn a_line_has_its_place_and_a_torn_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "one\n\ntwo\nthr").unwrap();

        let files = LogFile::all_of(&log).unwrap();

        let lines: Vec<Line> = files[0].lines(4).map(Result::unwrap).collect();
        let line = |offset, text: &str, is_whole| Line { offset, text: Some(text.into()), is_whole };
        assert_eq!(lines, [line(4, "", true), line(5, "two", true), line(9, "thr", false)]);
    }

    #[test]
    fn a_renamed_file_is_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "one\n").unwrap();
        let files = LogFile::all_of(&log).unwrap();

        fs::rename(&log, folder.path().join("log.1")).unwrap();
        fs::write(&log, "two\n").unwrap();

        assert_eq!(lines_of(&files), ["one"]);
        assert_eq!(lines_of(&LogFile::all_of(&log).unwrap()), ["one", "two"]);
    }

    #[test]
    fn what_is_compressed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(folder.path().join("log.1.gz"), b"\x1f\x8b\x08\x00rest").unwrap();

        assert!(matches!(LogFile::all_of(&log), Err(LogError::Compressed { .. })));
    }
}
