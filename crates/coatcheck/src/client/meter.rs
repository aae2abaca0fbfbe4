//! How far a command has come with its server, and what keeps it from going on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

/// What is under way, for a progress bar and for lines on standard error.
#[derive(Debug)]
pub struct Meter {
    sent: AtomicU64,
    trouble: watch::Sender<Option<Trouble>>,
}

/// Why it isn't going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    /// Whether it is told where there is no bar as well.
    pub is_worth_a_word: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self { sent: AtomicU64::new(0), trouble: watch::Sender::new(None) }
    }
}

impl Meter {
    /// Returns the bytes of files that are handed over so far. Falls when an upload has to begin again.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Returns why it isn't going on, while it isn't.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().as_ref().map(|trouble| trouble.text.clone())
    }

    pub fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    pub(super) fn take_back(&self, bytes: u64) {
        self.sent.fetch_sub(bytes, Relaxed);
    }

    /// Notes what keeps it from going on; whether something did already.
    pub(super) fn set(&self, trouble: Trouble) -> bool {
        self.trouble.send_replace(Some(trouble)).is_some()
    }

    /// Notes that it goes on; whether it did not before.
    pub(super) fn clear(&self) -> bool {
        self.trouble.send_if_modified(|trouble| trouble.take().is_some())
    }

    pub(super) fn outages(&self) -> Outages {
        Outages { trouble: self.trouble.subscribe(), is_told: false }
    }
}

/// Tells of each time that it doesn't go on, once.
#[derive(Debug)]
pub struct Outages {
    trouble: watch::Receiver<Option<Trouble>>,
    is_told: bool,
}

impl Outages {
    /// Waits for the next one; what it is.
    ///
    /// # Cancel safety
    /// None is missed or told twice.
    pub async fn next(&mut self) -> String {
        loop {
            if self.trouble.changed().await.is_err() {
                // The meter is gone, and all work with it.
                return std::future::pending().await;
            }
            let trouble = self.trouble.borrow_and_update().clone();
            match trouble {
                None => self.is_told = false,
                Some(Trouble { text, is_worth_a_word: true }) if !self.is_told => {
                    self.is_told = true;
                    return text;
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_outage_is_told_once_and_no_stale_one_is_kept() {
        let meter = Meter::default();
        let mut outages = meter.outages();
        let trouble = |text: &str, is_worth_a_word| Trouble { text: text.to_owned(), is_worth_a_word };

        meter.set(trouble("full", false));
        assert_eq!((outages.next().now_or_never(), meter.trouble().as_deref()), (None, Some("full")));
        meter.set(trouble("refused", true));
        assert_eq!(outages.next().now_or_never().as_deref(), Some("refused"));
        meter.set(trouble("refused", true));
        assert_eq!(outages.next().now_or_never(), None);

        meter.clear();
        assert_eq!((outages.next().now_or_never(), meter.trouble()), (None, None));
        meter.set(trouble("refused again", true));
        assert_eq!(outages.next().now_or_never().as_deref(), Some("refused again"));
    }
}
