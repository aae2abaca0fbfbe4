//! A ledger with something of the test's done before and after each call's effect.

use std::io;

use shared_log::{Entry, Head, Ledger};

use crate::file_ledger::FileLedger;

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
    type Error = io::Error;

    fn head(&mut self) -> io::Result<Option<Head>> {
        self.call("head", |ledger| ledger.head())
    }

    fn begin(&mut self, seen: Option<u32>, new: &Head) -> io::Result<bool> {
        self.call("begin", |ledger| ledger.begin(seen, new))
    }

    fn recognize(&mut self, lines: &[&[u8]]) -> io::Result<Vec<Option<usize>>> {
        self.call("recognize", |ledger| ledger.recognize(lines))
    }

    fn owed(&mut self, limit: usize) -> io::Result<Vec<Entry<usize>>> {
        self.call("owed", |ledger| ledger.owed(limit))
    }

    fn owed_beginning_with(&mut self, prefix: &[u8]) -> io::Result<Option<Entry<usize>>> {
        self.call("owed_beginning_with", |ledger| ledger.owed_beginning_with(prefix))
    }

    fn commit(&mut self, written: &[usize], head: &Head) -> io::Result<bool> {
        self.call("commit", |ledger| ledger.commit(written, head))
    }
}
