//! The files that there are to hash, for all threads to take from.

use std::ffi::OsString;
use std::io;
use std::iter::Enumerate;
use std::vec::IntoIter;

use parking_lot::Mutex;

/// Files that a thread takes at once, at most.
const TAKEN: usize = 64;

/// A file to be hashed.
#[derive(Debug)]
pub struct Job {
    /// Its place in the order of the output.
    pub number: usize,
    pub name: OsString,
    /// Why it can't be hashed, if that is known already.
    pub error: Option<io::Error>,
}

/// What all threads take from.
pub trait Jobs: Sync {
    /// Some files for one of so many threads. None when there are no more; or, for one that won't wait, none are known yet.
    fn take(&self, threads: usize, waits: bool) -> Vec<Job>;
    /// Whether it is known that there is one file alone.
    fn is_one(&self) -> bool;
}

/// How many files a thread takes of those that are left: fewer towards the end, so that every thread has some.
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
