//! Walks the regular files of a folder and the folders below it. Links are not followed, except a named one.
//!
//! A folder lists its files in an order that means nothing to the disk. Sorted by inode, they are mostly in the order in which they were
//! made: data that the kernel reads for one file, or has in memory, lies beside that of the next.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::jobs::{Job, Jobs, share};

/// The least number of known files: below it one thread looks for more, while the others go on.
const KNOWN: usize = 1 << 14;
/// The number of files that is enough to begin with, or to go on with until the next folder has been read.
const FIRST: usize = 1 << 10;
/// The most files that are sorted together: those of a larger folder would need too much memory.
const SORTED: usize = 1 << 16;

/// All files of these folders. A named path that is not a folder counts as a file.
pub struct Walked {
    walk: Mutex<Walk>,
    /// Files that were found and that no thread has taken yet.
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

/// A file and its inode, or 0 if the inode is unknown.
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

    /// Returns the next files, sorted by inode within a folder. Empty at the end.
    fn next_sorted(&mut self) -> impl ExactSizeIterator<Item = Job> {
        let most = if self.found == 0 { FIRST } else { SORTED };
        let mut files: Vec<Found> = Vec::new();
        while files.len() < most {
            if let Some(found) = self.next_in_folder() {
                files.push(found);
            } else if files.len() >= FIRST {
                // The next folder waits for the next call, so that the files found can be read meanwhile.
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

    /// Returns the next entry of the open folder.
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

    /// Opens the next folder, if there is one; returns the file instead, if the path is not a folder.
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
