//! The results as they come: in order where there is one, with a progress bar beside them on a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::console::{Called, Console};
use super::engine::{Done, Receiver};

/// An output that reports each result as `report` does, on a console.
pub struct Output<'a, F> {
    bar: ProgressBar,
    reported: Mutex<Reported<'a, F>>,
}

struct Reported<'a, F> {
    console: &'a mut Console,
    report: F,
    /// The next number to report, and the results that have to wait for it. Without an order, nothing waits.
    next: Option<usize>,
    waiting: BTreeMap<usize, Done>,
    /// Whether nothing more is wanted.
    is_stopped: bool,
}

impl<'a, F: FnMut(&Done, &mut Console) + Send> Output<'a, F> {
    pub fn new(console: &'a mut Console, is_ordered: bool, bar: ProgressBar, report: F) -> Self {
        let (waiting, is_stopped) = Default::default();
        let next = is_ordered.then_some(0);
        Self { bar, reported: Mutex::new(Reported { console, report, next, waiting, is_stopped }) }
    }

    /// Removes the bar.
    pub fn finish(self) {
        // Its final state: it was last drawn some time ago.
        self.bar.abandon();
        self.bar.finish_and_clear();
    }
}

impl<F: FnMut(&Done, &mut Console) + Send> Reported<'_, F> {
    /// Reports what has come; returns whether more is wanted.
    fn take(&mut self, done: Vec<Done>) -> bool {
        if self.next.is_none() {
            done.iter().for_each(|done| (self.report)(done, self.console));
            return self.console.flush();
        }
        self.waiting.extend(done.into_iter().map(|done| (done.job.number, done)));
        while let Some(next) = &mut self.next
            && let Some(done) = self.waiting.remove(next)
        {
            *next += 1;
            (self.report)(&done, self.console);
        }
        self.console.flush()
    }
}

impl<F: FnMut(&Done, &mut Console) + Send> Receiver for Output<'_, F> {
    fn take(&self, done: Vec<Done>) -> bool {
        let mut reported = self.reported.lock();
        if !reported.is_stopped && !done.is_empty() {
            reported.is_stopped = !self.bar.suspend(|| reported.take(done));
        }
        !reported.is_stopped
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

/// Returns a bar, which shows on a terminal, except under the name of `md5sum`; `total` bytes are to come, if that is known.
pub fn progress_bar(called: Called, total: impl FnOnce() -> Option<u64>) -> ProgressBar {
    if called == Called::Md5sum || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total() {
        Some(total) => {
            (ProgressBar::new(total), "{wide_bar:.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        }
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
