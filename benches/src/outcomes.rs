//! Reads an outcome log as it grows, so that no request to a server is needed to know what it has done.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use crate::error::{BenchError, io};
use crate::target::Log;

/// The lines read from a log since it was opened.
pub struct Outcomes {
    log: Log,
    at: u64,
    half_line: Vec<u8>,
    /// The digests in the lines of each id: one, if all is well.
    pub digests: HashMap<String, Vec<String>>,
}

impl Outcomes {
    /// Starts at the current end of the log, which need not exist yet.
    pub fn from_now(log: Log) -> Self {
        let at = log.path.metadata().map_or(0, |log| log.len());
        Self { log, at, half_line: Vec::new(), digests: HashMap::new() }
    }

    /// Reads the new lines. Returns their ids.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn look(&mut self) -> Result<Vec<String>, BenchError> {
        let mut file = match File::open(&self.log.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(io(self.log.path.to_string_lossy()))?,
        };
        let mut text = std::mem::take(&mut self.half_line);
        let known = text.len();
        file.seek(SeekFrom::Start(self.at)).map_err(io("a log"))?;
        file.read_to_end(&mut text).map_err(io("a log"))?;
        self.at += (text.len() - known) as u64;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.half_line = text.split_off(whole);

        let mut ids = Vec::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let mut words = line.split(' ');
            let id = words.nth(self.log.id).unwrap_or_default().to_owned();
            let digest = words.nth(self.log.digest - self.log.id - 1).unwrap_or_default().to_owned();
            self.digests.entry(id.clone()).or_default().push(digest);
            ids.push(id);
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut outcomes = Outcomes::from_now(Log { path: path.clone(), id: 1, digest: 4 });
        assert_eq!(outcomes.look().unwrap(), Vec::<String>::new());

        let mut file = File::create(path).unwrap();
        file.write_all(b"now 1 md5 succeeded abc\nnow 2 md5 succ").unwrap();
        assert_eq!(outcomes.look().unwrap(), ["1"]);
        file.write_all(b"eeded def\nnow 1 md5 succeeded abc\n").unwrap();
        assert_eq!(outcomes.look().unwrap(), ["2", "1"]);
        assert_eq!(outcomes.digests["1"], ["abc", "abc"]);
    }
}
