//! A rate limit on wrong passwords: for a name from one address, for a name, and for an address. Registrations have one too, because they
//! tell which names exist.
//!
//! Unknown names are counted like any other. Names are [blinded](crate::identity::token::Keys::blinded) before they are kept: some are
//! passwords that were typed into the wrong field.

use std::sync::Arc;
use std::time::Duration;

use accounts::user::TypedName;
use actix_web::HttpRequest;
use limits::Limits;
use limits::count::Counted;

use crate::http::counts::Counts;
use crate::http::hops;
use crate::http::problem::Problem;
use crate::identity::token::Keys;

/// The most wrong passwords for one name from one address within [`WITHIN`].
const PER_NAME_AND_ADDRESS: u32 = 20;
/// The most wrong passwords for one name, from all addresses: so many that a few strangers can't lock a user out.
const PER_NAME: u32 = 1000;
/// The most wrong passwords from one address, behind which may be many users.
const PER_ADDRESS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(300);
/// The most registrations from one address within [`REGISTERED_WITHIN`], including those of taken names.
const REGISTRATIONS: u32 = 100;
const REGISTERED_WITHIN: Duration = Duration::from_secs(3600);

/// Counts of wrong passwords and registrations.
pub struct Throttle(Counts);

/// An attempt to log in.
pub struct Attempt {
    /// The name of each count, and its limit.
    counts: Vec<(String, u32)>,
}

impl Attempt {
    /// Returns an attempt for that name, if it is a valid one, from the request's address.
    pub fn new(name: Option<&TypedName>, request: &HttpRequest, keys: &Keys) -> Self {
        let address = hops::counted(request);
        let name = name.map(|name| keys.blinded(name.mapped()));
        let both = name.as_ref().zip(address.as_ref());
        let counts = [
            both.map(|(name, address)| {
                (format!("login:name:{name}:address:{address}"), PER_NAME_AND_ADDRESS)
            }),
            name.as_ref().map(|name| (format!("login:name:{name}"), PER_NAME)),
            address.as_ref().map(|address| (format!("login:address:{address}"), PER_ADDRESS)),
        ];
        Self { counts: counts.into_iter().flatten().collect() }
    }
}

impl Throttle {
    pub fn new(shared: Arc<dyn Limits>) -> Self {
        Self(Counts::new(shared))
    }

    /// Checks that there were not too many wrong passwords.
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

    /// Resets the count of wrong passwords for a name from an address, because its user has logged in there.
    ///
    /// # Errors
    /// 429 if other attempts that came at the same time were too many: guesses must not profit from being sent at once.
    pub async fn forget(&self, attempt: &Attempt) -> Result<(), Problem> {
        self.check(attempt).await?;
        for (name, _) in attempt.counts.iter().filter(|(_, most)| *most == PER_NAME_AND_ADDRESS) {
            self.0.ask(async |limits| limits.forget(name).await).await?;
        }
        Ok(())
    }

    /// Counts a registration.
    ///
    /// # Errors
    /// 429 if there were too many from the request's address.
    pub async fn register(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(address) = hops::counted(request) else { return Ok(()) };
        let name = format!("register:address:{address}");
        let Counted { count, resets_in } =
            self.0.ask(async |limits| limits.count(&name, REGISTERED_WITHIN).await).await?;
        if count > REGISTRATIONS { Err(Problem::too_many(resets_in)) } else { Ok(()) }
    }
}
