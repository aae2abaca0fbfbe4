//! What goes on for a while and is said once.

use std::mem::{Discriminant, discriminant};

use tracing::{error, info, warn};

use crate::client::ClientError;

/// A trouble that passes by itself, or by somebody's hand.
#[derive(Debug, Default)]
pub struct Outage {
    failures: u32,
    /// What was said last, if anything was; the inner `None`: in words of the caller's.
    said: Option<Option<Discriminant<ClientError>>>,
}

impl Outage {
    /// How often in a row it failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed again; which is said the first time.
    pub fn begin(&mut self, what: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.said.is_none() {
            self.said = Some(None);
            warn!("{what}; trying until it passes");
        }
    }

    /// As [`Self::begin`], said again if it fails otherwise than before: a server that was away may answer, and refuse.
    pub fn begin_with(&mut self, error: &ClientError) {
        self.failures = self.failures.saturating_add(1);
        let kind = Some(Some(discriminant(error)));
        if self.said == kind {
            return;
        }
        self.said = kind;
        match error {
            ClientError::UnknownRecord => error!(
                "the file's last record is unknown to the server: is it another server's? Nothing is written until one of \
                 them changes"
            ),
            passing if passing.is_passing() || !passing.is_answer() => {
                warn!("{passing}; trying until it passes");
            }
            error => error!("{error}; trying until it passes"),
        }
    }

    /// It is over, which is said if the beginning was.
    pub fn end(&mut self, what: &str) {
        self.failures = 0;
        if self.said.take().is_some() {
            info!("{what}");
        }
    }
}
