//! The files to hash, which all threads take from.

use std::ffi::OsString;
use std::io;
use std::iter::Enumerate;
use std::vec::IntoIter;

use parking_lot::Mutex;

/// The most files that a thread takes at once.
const TAKEN: usize = 64;

/// A file to be hashed.
#[derive(Debug)]
pub struct Job {
    /// Its place in the order of the output.
    pub number: usize,
    pub name: OsString,
    /// The reason why it can't be hashed, if that is known already.
    pub error: Option<io::Error>,
}

/// A source of jobs for all threads.
pub trait Jobs: Sync {
    /// Returns some files for one of `threads` threads. Empty when there are no more, or, for a thread that won't wait, when none are known
    /// yet.
    fn take(&self, threads: usize, waits: bool) -> Vec<Job>;
    /// Returns whether the source is known to have a single file.
    fn is_one(&self) -> bool;
}

/// Returns how many of the files left a thread takes: fewer towards the end, so that every thread has some.
pub fn share(left: usize, threads: usize) -> usize {
    left.div_ceil(threads).min(TAKEN)
}

/// Files whose names are known, in their order.
pub struct Listed(Mutex<Enumerate<IntoIter<OsString>>>);

impl Listed {
    pub fn new(names: Vec<OsString>) -> Self {
        Self(Mutex::new(names.into_iter().enumerate()))
    }
}

impl Jobs for Listed {
    fn take(&self, threads: usize, _waits: bool) -> Vec<Job> {
        let mut left = self.0.lock();
        let count = share(left.len(), threads);
        left.by_ref().take(count).map(|(number, name)| Job { number, name, error: None }).collect()
    }

    fn is_one(&self) -> bool {
        self.0.lock().len() == 1
    }
}
