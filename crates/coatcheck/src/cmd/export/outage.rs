//! A trouble that goes on for a while: reported when it begins, then once a minute, and when it is over.

use std::mem::{Discriminant, discriminant};

use client::ClientError;
use program::Repeated;
use tracing::{error, info, warn};

/// A trouble that passes by itself, or that an operator ends.
#[derive(Debug, Default)]
pub struct Outage {
    failures: u32,
    /// The last report, if there was one; the inner `None`: in words of the caller's.
    said: Option<Option<Discriminant<ClientError>>>,
    /// The line of the first report: later failures may come with other words.
    line: String,
    lines: Repeated,
}

impl Outage {
    /// Returns the number of failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Records a failure; reports the first one, and then one a minute.
    pub fn begin(&mut self, what: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.said.is_none() {
            self.say_anew(None, format!("{what}; trying until it passes"));
        }
        if let Some(line) = self.lines.line(&self.line) {
            warn!("{line}");
        }
    }

    /// As [`Self::begin`], and reports again if the kind of failure changes: a server that was unreachable may answer, and reject.
    pub fn begin_with(&mut self, error: &ClientError) {
        self.failures = self.failures.saturating_add(1);
        let kind = Some(discriminant(error));
        if self.said != Some(kind) {
            let line = match error {
                ClientError::UnknownRecord => {
                    "the file's last record is unknown to the server: is it another server's? Nothing is written until one of \
                     them changes"
                        .to_owned()
                }
                error => format!("{error}; trying until it passes"),
            };
            self.say_anew(kind, line);
        }
        let Some(line) = self.lines.line(&self.line) else { return };
        if error.is_passing() { warn!("{line}") } else { error!("{line}") }
    }

    fn say_anew(&mut self, kind: Option<Discriminant<ClientError>>, line: String) {
        (self.said, self.line, self.lines) = (Some(kind), line, Repeated::default());
    }

    /// Ends the trouble, and reports that if its beginning was reported.
    pub fn end(&mut self, what: &str) {
        self.failures = 0;
        if self.said.take().is_some() {
            info!("{what}");
        }
    }
}
