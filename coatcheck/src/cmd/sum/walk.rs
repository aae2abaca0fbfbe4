//! The regular files of a folder and those below it, as they are found. Links are not followed, other than the one that is named.

use std::ffi::OsString;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::engine::Job;

/// All files of these folders. What is named and is no folder counts as a file.
#[derive(Debug)]
pub struct Walk {
    named: std::vec::IntoIter<OsString>,
    /// Folders that were found and not read yet.
    folders: Vec<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    found: usize,
}

impl Walk {
    pub fn new(named: Vec<OsString>) -> Self {
        Self { named: named.into_iter(), folders: Vec::new(), open: None, found: 0 }
    }

    /// The next one in the folder that is open.
    fn next_in_folder(&mut self) -> Option<(PathBuf, Option<io::Error>)> {
        let (folder, entries) = self.open.as_mut()?;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some((folder.clone(), Some(error))),
            };
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folders.push(path),
                Ok(kind) if kind.is_file() => return Some((path, None)),
                Ok(_) => {}
                Err(error) => return Some((path, Some(error))),
            }
        }
        self.open = None;
        None
    }

    /// Opens the next folder; what is there instead, if it is none.
    fn open_next(&mut self) -> Option<Result<(), (PathBuf, Option<io::Error>)>> {
        let (path, is_named) = match self.folders.pop() {
            Some(path) => (path, false),
            None => (Path::new(&self.named.next()?).to_owned(), true),
        };
        Some(match fs::read_dir(&path) {
            Ok(entries) => {
                self.open = Some((path, entries));
                Ok(())
            }
            Err(error) if is_named && error.kind() == ErrorKind::NotADirectory => Err((path, None)),
            Err(error) => Err((path, Some(error))),
        })
    }
}

impl Iterator for Walk {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        let (path, error) = loop {
            if let Some(found) = self.next_in_folder() {
                break found;
            }
            if let Err(found) = self.open_next()? {
                break found;
            }
        };
        self.found += 1;
        Some(Job { number: self.found - 1, name: path.into_os_string(), error })
    }
}
