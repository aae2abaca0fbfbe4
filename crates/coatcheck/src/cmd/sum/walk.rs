//! The regular files of a folder and those below it. Links are not followed, other than the one that is named.
//!
//! A folder gives its files in no order that means anything to its disk. By their inodes, they mostly are in the order in which they
//! were made: what the kernel reads of one, or has in its memory, is beside that of the next.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::jobs::{Job, Jobs, share};

/// While fewer files than these are known, a thread looks for more, and the others go on with those.
const KNOWN: usize = 1 << 14;
/// So many files are enough to begin with, or to go on with until the next folder has been read.
const FIRST: usize = 1 << 10;
/// Files that are put in order together, at most: of a larger folder, they would need too much memory.
const SORTED: usize = 1 << 16;

/// All files of these folders. What is named and is no folder counts as a file.
pub struct Walked {
    walk: Mutex<Walk>,
    /// What was found, and nobody has taken yet.
    known: Mutex<VecDeque<Job>>,
}

impl Walked {
    pub fn new(named: Vec<OsString>) -> Self {
        Self { walk: Mutex::new(Walk::new(named)), known: Mutex::default() }
    }
}

impl Jobs for Walked {
    fn take(&self, threads: usize, waits: bool) -> Vec<Job> {
        loop {
            let known = self.known.lock().len();
            let walk = match known {
                0 if waits => Some(self.walk.lock()),
                0..KNOWN => self.walk.try_lock(),
                _ => None,
            };
            let mut is_all = false;
            if let Some(mut walk) = walk {
                // Another thread may have found some while this one waited.
                if self.known.lock().len() < KNOWN {
                    let found = walk.next_sorted();
                    is_all = found.len() == 0;
                    self.known.lock().extend(found);
                }
            }
            let mut known = self.known.lock();
            let count = share(known.len(), threads);
            if count > 0 || is_all || !waits {
                return known.drain(..count).collect();
            }
        }
    }

    fn is_one(&self) -> bool {
        false
    }
}

/// A file and its inode, which is 0 where it is not known.
type Found = (u64, Job);

#[derive(Debug)]
struct Walk {
    named: std::vec::IntoIter<OsString>,
    /// Folders that were found and not read yet.
    folders: Vec<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    found: usize,
}

impl Walk {
    fn new(named: Vec<OsString>) -> Self {
        Self { named: named.into_iter(), folders: Vec::new(), open: None, found: 0 }
    }

    /// The next files, those of a folder by their inodes. None at the end.
    fn next_sorted(&mut self) -> impl ExactSizeIterator<Item = Job> {
        let most = if self.found == 0 { FIRST } else { SORTED };
        let mut files: Vec<Found> = Vec::new();
        while files.len() < most {
            if let Some(found) = self.next_in_folder() {
                files.push(found);
            } else if files.len() >= FIRST {
                // The next folder is for the next time: what is found may be read meanwhile.
                break;
            } else if let Some(opened) = self.open_next() {
                files.extend(opened);
            } else {
                break;
            }
        }
        files.sort_unstable_by_key(|(inode, _)| *inode);
        files.into_iter().map(|(_, file)| file)
    }

    fn found(&mut self, inode: u64, path: PathBuf, error: Option<io::Error>) -> Found {
        self.found += 1;
        (inode, Job { number: self.found - 1, name: path.into_os_string(), error })
    }

    /// The next one in the folder that is open.
    fn next_in_folder(&mut self) -> Option<Found> {
        let (folder, entries) = self.open.as_mut()?;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = folder.clone();
                    return Some(self.found(0, path, Some(error)));
                }
            };
            let (inode, path) = (entry.ino(), entry.path());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folders.push(path),
                Ok(kind) if kind.is_file() => return Some(self.found(inode, path, None)),
                Ok(_) => {}
                Err(error) => return Some(self.found(inode, path, Some(error))),
            }
        }
        self.open = None;
        None
    }

    /// Opens the next folder, unless there is none; what is there instead, if it is no folder.
    fn open_next(&mut self) -> Option<Option<Found>> {
        let (path, is_named) = match self.folders.pop() {
            Some(path) => (path, false),
            None => (Path::new(&self.named.next()?).to_owned(), true),
        };
        Some(match fs::read_dir(&path) {
            Ok(entries) => {
                self.open = Some((path, entries));
                None
            }
            Err(error) if is_named && error.kind() == ErrorKind::NotADirectory => {
                Some(self.found(0, path, None))
            }
            Err(error) => Some(self.found(0, path, Some(error))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    #[test]
    fn threads_that_take_together_get_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = BTreeSet::new();
        for number in 0..3 * FIRST {
            let below = folder.path().join((number % 3).to_string());
            fs::create_dir_all(&below).unwrap();
            let path = below.join(number.to_string());
            fs::write(&path, "").unwrap();
            expected.insert(path.into_os_string());
        }
        let files = Walked::new(vec![folder.path().into()]);

        let take = || -> Vec<Job> {
            let takes = std::iter::from_fn(|| Some(files.take(4, true)).filter(|taken| !taken.is_empty()));
            takes.flatten().collect()
        };
        let taken = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });

        assert_eq!(taken.len(), expected.len());
        assert!(taken.iter().all(|job| job.error.is_none()));
        assert_eq!(taken.into_iter().map(|job| job.name).collect::<BTreeSet<_>>(), expected);
    }
}
