//! Who guesses passwords is slowed down: so many wrong ones for a name, or from an address, and no more for a while.
//!
//! A name that is nobody's is counted as any other.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use task_data::limits::Limits;
use task_data::limits::count::Counted;
use task_data::user::Username;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::request;

/// Wrong passwords for one name within [`WITHIN`].
const PER_NAME: u32 = 20;
/// Wrong passwords from one address, behind which may be many users.
const PER_ADDRESS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(300);

/// Counts wrong passwords.
pub struct Throttle(Counts);

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
        Self(Counts::new(shared))
    }

    /// Asserts that there were not too many wrong passwords.
    ///
    /// # Errors
    /// 429.
    pub async fn check(&self, attempt: &Attempt) -> Result<(), Problem> {
        for (name, most) in &attempt.counts {
            let counted = self.0.ask(async |limits| limits.counted(name).await).await?;
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
                self.0.ask(async |limits| limits.count(name, WITHIN).await).await?;
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
            self.0.ask(async |limits| limits.forget(name).await).await?;
        }
        Ok(())
    }
}
