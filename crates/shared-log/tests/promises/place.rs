//! A folder with a log and a ledger in it, and what must be true of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use shared_log::{Done, Ledger, SettleError, Settled, SharedLog};
use tempfile::TempDir;

use crate::file_ledger::{FileLedger, line};

pub struct Place {
    pub folder: TempDir,
    pub log: SharedLog,
    pub ledger: FileLedger,
}

pub fn log_path(folder: &Path) -> PathBuf {
    folder.join("outcome.log")
}

impl Place {
    /// With an empty log and nothing owed.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SharedLog::new(log_path(folder.path())).unwrap();
        let ledger = FileLedger::create(folder.path());
        Self { folder, log, ledger }
    }

    /// With so many lines in the log, all of them known.
    pub fn with_lines(count: usize) -> Self {
        let place = Self::new();
        place.owe_and_settle(count);
        place
    }

    pub fn path(&self) -> PathBuf {
        log_path(self.folder.path())
    }

    pub fn sibling(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("outcome.log.{suffix}"))
    }

    /// Renames the log as an administrator would.
    pub fn rotate(&self, suffix: &str) {
        fs::rename(self.path(), self.sibling(suffix)).unwrap();
    }

    pub fn contents(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// Writes without any lock.
    pub fn scribble(&self, text: &[u8]) {
        let mut file = File::options().append(true).create(true).open(self.path()).unwrap();
        file.write_all(text).unwrap();
    }

    pub fn settle(&self) -> Done {
        self.settle_by(&mut FileLedger::at(self.folder.path())).unwrap()
    }

    pub fn settle_by<L: Ledger>(&self, ledger: &mut L) -> Result<Done, SettleError<L::Error>> {
        match self.log.settle(ledger)? {
            Settled::Done(done) => Ok(done),
            Settled::Busy => panic!("nobody else has the log"),
        }
    }

    pub fn owe_and_settle(&self, count: usize) -> Done {
        self.ledger.owe(count);
        self.settle()
    }

    pub fn settle_all(&self) {
        self.settle_more_after(self.settle());
    }

    pub fn settle_more_after(&self, mut done: Done) {
        let mut steps = 0;
        while done.more {
            done = self.settle();
            steps += 1;
            assert!(steps < 100, "there is always more to do");
        }
    }

    /// Each owed entry's line stands once, whole, in the log or a sibling, and is known; no other entry's does.
    pub fn assert_each_line_once(&self) {
        let state = self.ledger.state();
        assert_eq!(state.logged(), (0..state.due).collect::<Vec<_>>(), "known to have their lines");

        let lines = self.lines();
        let mut ours: Vec<&str> = lines.iter().map(String::as_str).filter(|text| is_ours(text)).collect();
        ours.sort_unstable();
        let expected: Vec<String> = (0..state.due).map(line).collect();
        assert_eq!(ours, expected);
    }

    /// All whole lines of the log and its siblings.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for file in fs::read_dir(self.folder.path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("outcome.log") && !name.ends_with(".lock") {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                lines.extend(
                    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned),
                );
            }
        }
        lines
    }
}

fn is_ours(text: &str) -> bool {
    text.split(' ').nth(1).and_then(|id| id.parse().ok()).is_some_and(|id: usize| line(id) == text)
}
