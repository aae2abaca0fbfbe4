//! The embedded adapter: states in this process's memory, by its monotonic clock.

use std::collections::HashMap;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Change, Limits, LimitsError, Moment};

/// The number of states above which expired ones are dropped.
const CROWD: usize = 10_000;

/// Limits of one process.
pub struct LocalLimits {
    began: Instant,
    states: Mutex<HashMap<String, (Vec<u8>, Moment)>>,
}

impl LocalLimits {
    /// Creates limits without a state.
    pub fn new() -> Self {
        Self { began: Instant::now(), states: Mutex::default() }
    }
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Limits for LocalLimits {
    async fn change(&self, name: &str, change: &mut Change<'_>) -> Result<(), LimitsError> {
        let mut states = self.states.lock();
        let now = Moment(0).after(self.began.elapsed());
        if states.len() > CROWD {
            states.retain(|_, (_, keep_until)| *keep_until > now);
        }
        let state = states.get(name).filter(|(_, keep_until)| *keep_until > now);
        if let Some(kept) = change(now, state.map(|(bytes, _)| bytes.as_slice())) {
            states.insert(name.to_owned(), (kept.bytes, now.after(kept.keep_for)));
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }
}
