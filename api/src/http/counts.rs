//! Counts of all processes', and this process's own beside them: while the shared ones can't be had, this process counts for
//! itself, for nobody's work should depend on a cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use limits::local::LocalLimits;
use limits::{Limits, LimitsError};
use parking_lot::Mutex;
use tracing::warn;

use crate::http::problem::Problem;

/// How long shared counts that did not answer are not asked again.
const REST: Duration = Duration::from_secs(5);

/// The shared counts and our own.
pub struct Counts {
    shared: Arc<dyn Limits>,
    own: Arc<dyn Limits>,
    away_until: Mutex<Option<Instant>>,
}

impl Counts {
    pub fn new(shared: Arc<dyn Limits>) -> Self {
        Self { shared, own: Arc::new(LocalLimits::new()), away_until: Mutex::default() }
    }

    /// Asks both counts, so that this process's own knows what came before when the shared one does not answer; the shared one
    /// is believed.
    ///
    /// # Errors
    /// None that is anyone's but ours.
    pub async fn ask<T>(
        &self,
        ask: impl AsyncFn(&dyn Limits) -> Result<T, LimitsError>,
    ) -> Result<T, Problem> {
        let own = ask(&*self.own).await.map_err(|error| Problem::internal(&error))?;
        let is_away = self.away_until.lock().is_some_and(|until| Instant::now() < until);
        if !is_away {
            match ask(&*self.shared).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    warn!("wrong passwords and uploads are counted by this process alone: {error}");
                    *self.away_until.lock() = Some(Instant::now() + REST);
                }
            }
        }
        Ok(own)
    }
}
