//! The progress bar: files, bytes, speed and time left, on a terminal that can draw it (not `TERM=dumb`), in colours unless `NO_COLOR`.

use std::sync::Arc;

use client::Meter;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use program::counted;

use super::files::{Files, Totals};

/// A bar that may be hidden.
pub struct Bar {
    bar: ProgressBar,
    totals: Arc<Totals>,
}

/// How far the command is.
pub struct Progress<'a> {
    pub meter: &'a Meter,
    /// Bytes of files that need not be sent.
    pub found: u64,
    /// Files whose line or error was printed.
    pub done: u64,
    /// Whether only tasks are waited for.
    pub is_sent: bool,
}

impl Bar {
    /// Makes a bar for these files. Folders are counted while the files in them are sent.
    pub fn new(files: &Files, has_folders: bool) -> Self {
        let (bar, totals) = (ProgressBar::new(0), Arc::new(Totals::default()));
        if !bar.is_hidden() {
            let (files, counted) = (files.clone(), totals.clone());
            match has_folders {
                true => drop(tokio::task::spawn_blocking(move || counted.count(files))),
                false => counted.count(files),
            }
        }
        if let Ok(style) = ProgressStyle::with_template("{bar:20.cyan/dim} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, totals }
    }

    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Prints something, with the bar out of its way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Shows the progress. The text is cut at the terminal's width, so that it stays one line after a resize.
    pub fn show(&self, progress: &Progress<'_>) {
        let (bar, totals) = (&self.bar, &self.totals);
        bar.set_length(totals.bytes().saturating_sub(progress.found));
        bar.set_position(progress.meter.sent());
        let bytes =
            format!("{}/{}", HumanBytes(bar.position()), HumanBytes(bar.length().unwrap_or_default()));
        let is_counted = totals.is_complete();
        let more = if is_counted { "" } else { " or more" };
        let files = format!("{} of {}{more}", progress.done, counted(totals.files(), "file"));
        let speed = format!("{}/s", HumanBytes(bar.per_sec() as u64));
        bar.set_message(match progress.meter.trouble() {
            Some(trouble) => format!("{bytes} · {files} · {trouble}"),
            None if progress.is_sent => format!("{bytes} · {files} · waiting for digests"),
            // Before the first bytes, the time left is unknown.
            None if is_counted && bar.per_sec() >= 1.0 => {
                format!("{bytes} {speed} {:#} · {files}", HumanDuration(bar.eta()))
            }
            None => format!("{bytes} {speed} · {files}"),
        });
    }

    /// Shows the final progress, which was last drawn some time ago, and removes the bar.
    pub fn finish(&self, progress: &Progress<'_>) {
        self.show(progress);
        self.bar.abandon();
        self.clear();
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
