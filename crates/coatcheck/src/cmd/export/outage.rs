//! What goes on for a while: it is said when it begins, then once a minute, and when it is over.

use std::mem::{Discriminant, discriminant};

use program::Repeated;
use tracing::{error, info, warn};

use crate::client::ClientError;

/// A trouble that passes by itself, or by somebody's hand.
#[derive(Debug, Default)]
pub struct Outage {
    failures: u32,
    /// What was said last, if anything was; the inner `None`: in words of the caller's.
    said: Option<Option<Discriminant<ClientError>>>,
    /// The line that says so, as it was the first time: what fails may do so in changing words.
    line: String,
    lines: Repeated,
}

impl Outage {
    /// How often in a row it failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed again; which is said the first time, and then once a minute.
    pub fn begin(&mut self, what: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.said.is_none() {
            self.say_anew(None, format!("{what}; trying until it passes"));
        }
        if let Some(line) = self.lines.line(&self.line) {
            warn!("{line}");
        }
    }

    /// As [`Self::begin`], said again if it fails otherwise than before: a server that was away may answer, and refuse.
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

    /// It is over, which is said if the beginning was.
    pub fn end(&mut self, what: &str) {
        self.failures = 0;
        if self.said.take().is_some() {
            info!("{what}");
        }
    }
}
