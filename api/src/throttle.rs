//! Who guesses passwords is slowed down: so many wrong ones for a name, or from an address, and no more for a while.
//!
//! A name that is nobody's is counted as any other. The counts are all processes'; while they can't be had, this process counts
//! for itself, for neither a log-in nor a guess should depend on a cache.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use task_data::limits::count::Counted;
use task_data::limits::local::LocalLimits;
use task_data::limits::{Limits, LimitsError};
use task_data::user::Username;
use tracing::warn;

use crate::problem::Problem;
use crate::request;

/// Wrong passwords for one name within [`WITHIN`].
const PER_NAME: u32 = 20;
/// Wrong passwords from one address, behind which may be many users.
const PER_ADDRESS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(300);
/// How long shared counts that did not answer are not asked again.
const REST: Duration = Duration::from_secs(5);

/// Counts wrong passwords.
pub struct Throttle {
    shared: Arc<dyn Limits>,
    own: Arc<dyn Limits>,
    away_until: Mutex<Option<Instant>>,
}

/// Someone tries to log in.
pub struct Attempt {
    /// Each count's name, and what it may be.
    counts: Vec<(String, u32)>,
}

impl Attempt {
    /// An attempt for that name, if it can be one, from the request's address.
    pub fn new(username: Option<&Username>, request: &HttpRequest) -> Self {
        let name = username.map(|username| (format!("login:name:{username}"), PER_NAME));
        let address = request::client(request).map(|ip| (format!("login:address:{ip}"), PER_ADDRESS));
        Self { counts: name.into_iter().chain(address).collect() }
    }
}

impl Throttle {
    pub fn new(shared: Arc<dyn Limits>) -> Self {
        Self { shared, own: Arc::new(LocalLimits::new()), away_until: Mutex::default() }
    }

    /// Asserts that there were not too many wrong passwords.
    ///
    /// # Errors
    /// 429.
    pub async fn check(&self, attempt: &Attempt) -> Result<(), Problem> {
        for (name, most) in &attempt.counts {
            let counted = self.ask(async |limits| limits.counted(name).await).await?;
            if counted.count >= *most {
                return Err(Problem::too_many(counted.resets_in));
            }
        }
        Ok(())
    }

    /// Counts a wrong password.
    ///
    /// # Errors
    /// 429 if others that came at the same time were already too many.
    pub async fn count(&self, attempt: &Attempt) -> Result<(), Problem> {
        for (name, most) in &attempt.counts {
            let Counted { count, resets_in } =
                self.ask(async |limits| limits.count(name, WITHIN).await).await?;
            if count > *most {
                return Err(Problem::too_many(resets_in));
            }
        }
        Ok(())
    }

    /// Forgets the wrong passwords for a name: its user has logged in.
    ///
    /// # Errors
    /// 429 if others that came at the same time were too many: a guess must not be better for being one of many.
    pub async fn forget(&self, attempt: &Attempt) -> Result<(), Problem> {
        self.check(attempt).await?;
        for (name, _) in attempt.counts.iter().filter(|(_, most)| *most == PER_NAME) {
            self.ask(async |limits| limits.forget(name).await).await?;
        }
        Ok(())
    }

    /// Asks both counts, so that this process's own knows what came before when the shared one does not answer; the shared one
    /// is believed.
    async fn ask<T>(&self, ask: impl AsyncFn(&dyn Limits) -> Result<T, LimitsError>) -> Result<T, Problem> {
        let own = ask(&*self.own).await.map_err(|error| Problem::internal(&error))?;
        let is_away = self.away_until().is_some_and(|until| Instant::now() < until);
        if !is_away {
            match ask(&*self.shared).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    warn!("wrong passwords are counted by this process alone: {error}");
                    *self.away_until() = Some(Instant::now() + REST);
                }
            }
        }
        Ok(own)
    }

    fn away_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
