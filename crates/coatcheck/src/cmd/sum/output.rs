//! The output: in order where there is one, with a progress bar beside it on a terminal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::engine::{Done, Receiver};
use crate::md5sum::quoted;
use crate::terminal;

/// An output that prints digests as they come, each as `line` makes it.
pub struct Output<F> {
    bar: ProgressBar,
    /// Returns a file's result as a line of the output.
    line: F,
    printed: Mutex<Printed>,
}

#[derive(Default)]
struct Printed {
    /// The next number to print, and the results that have to wait for it. Without an order, nothing waits.
    next: Option<usize>,
    waiting: BTreeMap<usize, Done>,
    has_failed: bool,
    /// Whether nothing more can be printed.
    is_stopped: bool,
}

impl<F: Fn(&Done) -> Option<Vec<u8>> + Sync> Output<F> {
    pub fn new(is_ordered: bool, bar: ProgressBar, line: F) -> Self {
        let printed = Printed { next: is_ordered.then_some(0), ..Printed::default() };
        Self { bar, line, printed: Mutex::new(printed) }
    }

    /// Removes the bar; returns whether all files could be read and all results printed.
    pub fn finish(&self) -> bool {
        // Its final state: it was last drawn some time ago.
        self.bar.abandon();
        self.bar.finish_and_clear();
        !self.printed.lock().has_failed
    }

    fn print(&self, done: impl Iterator<Item = Done>, has_failed: &mut bool) -> bool {
        let mut lines = Vec::new();
        for done in done {
            if let Err(error) = &done.digest {
                *has_failed = true;
                self.bar.suspend(|| complain(&done.job.name, error));
            }
            if let Some(line) = (self.line)(&done) {
                lines.extend_from_slice(&line);
            }
        }
        if lines.is_empty() {
            return true;
        }
        let written = self.bar.suspend(|| terminal::print(&lines));
        let Err(error) = written else { return true };
        *has_failed = true;
        // A reader that has gone away (`| head -1`) wants no more lines, and gets no message.
        if error.kind() != ErrorKind::BrokenPipe {
            say(&format!("write error: {}", told(&error)));
        }
        false
    }
}

impl<F: Fn(&Done) -> Option<Vec<u8>> + Sync> Receiver for Output<F> {
    fn take(&self, done: Vec<Done>) -> bool {
        let mut printed = self.printed.lock();
        let Printed { next, waiting, has_failed, is_stopped } = &mut *printed;
        if *is_stopped {
            return false;
        }
        let Some(next) = next else {
            *is_stopped = !self.print(done.into_iter(), has_failed);
            return !*is_stopped;
        };
        waiting.extend(done.into_iter().map(|done| (done.job.number, done)));
        let in_order = std::iter::from_fn(|| {
            let done = waiting.remove(next)?;
            *next += 1;
            Some(done)
        });
        *is_stopped = !self.print(in_order, has_failed);
        !*is_stopped
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

/// Returns a bar, which shows on a terminal; `total` bytes are to come, if that is known.
pub fn progress_bar(total: impl FnOnce() -> Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
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

/// Reports a file's error on standard error.
pub fn complain(name: &OsStr, error: &io::Error) {
    say(&format!("{}: {}", quoted(name), told(error)));
}

/// Writes a line on standard error.
pub fn say(line: &str) {
    // If standard error can't be written either, only the exit status tells.
    let _ = writeln!(io::stderr(), "coatcheck: {line}");
}

/// Returns an error in the system's words alone.
fn told(error: &io::Error) -> String {
    match error.kind() {
        // It may come without the system's number.
        ErrorKind::IsADirectory => "Is a directory".to_owned(),
        _ => program::without_numbers(&error.to_string()),
    }
}
