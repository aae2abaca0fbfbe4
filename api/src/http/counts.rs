//! Counts that all processes share, with counts of this process beside them. While the shared counts are unreachable, the process uses its
//! own, so that no request depends on the cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use limits::local::LocalLimits;
use limits::{Limits, LimitsError};
use parking_lot::Mutex;
use tracing::warn;

use crate::http::problem::Problem;

/// How long the process does without the shared counts after they did not answer.
const REST: Duration = Duration::from_secs(5);

/// The shared counts and this process's own.
pub struct Counts {
    shared: Arc<dyn Limits>,
    own: Arc<dyn Limits>,
    away_until: Mutex<Option<Instant>>,
}

impl Counts {
    pub fn new(shared: Arc<dyn Limits>) -> Self {
        Self { shared, own: Arc::new(LocalLimits::new()), away_until: Mutex::default() }
    }

    /// Asks both counts, so that this process's own are complete when the shared ones stop answering. The shared counts decide.
    ///
    /// # Errors
    /// Only those of this process's own counts.
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
