//! A ledger with something of the test's done before and after each call's effect.

use std::io;

use shared_log::{Entry, Ledger, Placed};

use crate::file_ledger::{FileLedger, Head};

/// The hook's argument: the call's name, after "before " or "after ". An error of it is the call's.
pub struct Hooked<F> {
    pub ledger: FileLedger,
    pub hook: F,
}

impl<F: FnMut(&str) -> io::Result<()>> Hooked<F> {
    fn call<T>(
        &mut self,
        name: &str,
        effect: impl FnOnce(&mut FileLedger) -> io::Result<T>,
    ) -> io::Result<T> {
        (self.hook)(&format!("before {name}"))?;
        let answer = effect(&mut self.ledger)?;
        (self.hook)(&format!("after {name}"))?;
        Ok(answer)
    }
}

impl<F: FnMut(&str) -> io::Result<()>> Ledger for Hooked<F> {
    type Id = usize;
    type Place = usize;
    type Error = io::Error;

    fn head(&mut self) -> io::Result<Option<Head>> {
        self.call("head", |ledger| ledger.head())
    }

    fn store(&mut self, seen: Option<u64>, head: &Head) -> io::Result<bool> {
        self.call("store", |ledger| ledger.store(seen, head))
    }

    fn after(&mut self, place: usize, limit: usize) -> io::Result<Option<Vec<Placed<usize, usize>>>> {
        self.call("read", |ledger| ledger.after(place, limit))
    }

    fn those_after(&mut self, place: usize, ids: Vec<usize>) -> io::Result<Vec<usize>> {
        self.call("those_after", |ledger| ledger.those_after(place, ids))
    }

    fn before_first(&mut self, ids: Vec<usize>) -> io::Result<usize> {
        self.call("before_first", |ledger| ledger.before_first(ids))
    }

    fn recognize(&mut self, lines: &[&[u8]]) -> io::Result<Vec<Option<usize>>> {
        self.call("recognize", |ledger| ledger.recognize(lines))
    }

    fn beginning_with(&mut self, prefix: &[u8]) -> io::Result<Option<Entry<usize>>> {
        self.call("beginning_with", |ledger| ledger.beginning_with(prefix))
    }
}
