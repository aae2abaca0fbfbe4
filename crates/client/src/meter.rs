//! A command's progress with its server, and the trouble that stops it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::watch;

/// The progress under way, for a progress bar and for messages on standard error.
#[derive(Debug)]
pub struct Meter {
    sent: AtomicU64,
    trouble: watch::Sender<Option<Trouble>>,
}

/// Trouble that stops the progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    text: String,
    /// Whether it is reported even without a bar.
    is_worth_a_word: bool,
    /// When a request failed with it: answers to requests sent before that do not end it.
    since: Instant,
}

impl Trouble {
    pub fn new(text: String, is_worth_a_word: bool) -> Self {
        Self { text, is_worth_a_word, since: Instant::now() }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self { sent: AtomicU64::new(0), trouble: watch::Sender::new(None) }
    }
}

impl Meter {
    /// Returns the bytes of files that were handed over so far. Falls when an upload has to begin again.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Returns the text of the trouble that stops the progress; `None` while it goes on.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().as_ref().map(|trouble| trouble.text.clone())
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn take_back(&self, bytes: u64) {
        self.sent.fetch_sub(bytes, Relaxed);
    }

    /// Records a trouble; returns whether there was one already.
    pub(crate) fn set(&self, trouble: Trouble) -> bool {
        self.trouble.send_replace(Some(trouble)).is_some()
    }

    /// Records that there is progress; returns whether there was a trouble.
    pub(crate) fn clear(&self) -> bool {
        self.clear_before(Instant::now())
    }

    /// As [`Self::clear`], for the answer to a request that was sent then.
    pub(crate) fn clear_before(&self, sent: Instant) -> bool {
        self.trouble.send_if_modified(|trouble| trouble.take_if(|trouble| trouble.since <= sent).is_some())
    }

    /// Returns the messages on troubles; `back` is the message when one is over.
    pub(crate) fn outages(&self, back: String) -> Outages {
        Outages { trouble: self.trouble.subscribe(), back, is_told: false }
    }
}

/// Messages on troubles: one at the beginning of each, and one at its end.
#[derive(Debug)]
pub struct Outages {
    trouble: watch::Receiver<Option<Trouble>>,
    back: String,
    is_told: bool,
}

impl Outages {
    /// Waits for the next beginning or end, and returns its message.
    ///
    /// # Cancel safety
    /// Every message is returned exactly once.
    pub async fn next(&mut self) -> String {
        loop {
            if self.trouble.changed().await.is_err() {
                // The meter is gone, and all work with it.
                return std::future::pending().await;
            }
            let trouble = self.trouble.borrow_and_update().clone();
            match trouble {
                None if std::mem::take(&mut self.is_told) => return self.back.clone(),
                Some(Trouble { text, is_worth_a_word: true, .. }) if !self.is_told => {
                    self.is_told = true;
                    return text;
                }
                None | Some(_) => {}
            }
        }
    }

    /// Returns the message that was not returned yet: once the work has ended, no other follows.
    pub fn rest(&mut self) -> Option<String> {
        self.next().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_outage_is_told_once_and_no_stale_one_is_kept() {
        let meter = Meter::default();
        let mut outages = meter.outages("back".to_owned());
        let before = Instant::now();
        let trouble = |text: &str, is_worth_a_word| Trouble::new(text.to_owned(), is_worth_a_word);

        meter.set(trouble("full", false));
        assert_eq!((outages.next().now_or_never(), meter.trouble().as_deref()), (None, Some("full")));
        meter.set(trouble("refused", true));
        assert_eq!(outages.next().now_or_never().as_deref(), Some("refused"));
        meter.set(trouble("refused", true));
        assert_eq!(outages.next().now_or_never(), None);

        // The answer to a request that was sent before.
        assert!(!meter.clear_before(before));
        meter.clear();
        assert_eq!((outages.rest().as_deref(), meter.trouble()), (Some("back"), None));
        assert_eq!(outages.rest(), None);
        meter.set(trouble("refused again", true));
        assert_eq!(outages.next().now_or_never().as_deref(), Some("refused again"));
    }
}
