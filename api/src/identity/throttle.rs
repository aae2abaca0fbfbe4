//! Who guesses passwords is slowed down: so many wrong ones for a name from one address, for a name, or from an address, and no more for
//! a while. So are registrations, which tell what names there are.
//!
//! A name that is nobody's is counted as any other. Names are [blinded](crate::identity::token::Keys::blinded) before they are kept: some are passwords
//! that were typed into the wrong field.

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

/// Wrong passwords for one name from one address within [`WITHIN`].
const PER_NAME_AND_ADDRESS: u32 = 20;
/// Wrong passwords for one name, from all addresses: nobody is locked out by one stranger, nor by a few.
const PER_NAME: u32 = 1000;
/// Wrong passwords from one address, behind which may be many users.
const PER_ADDRESS: u32 = 100;
const WITHIN: Duration = Duration::from_secs(300);
/// Registrations from one address within [`REGISTERED_WITHIN`], those of taken names counted in.
const REGISTRATIONS: u32 = 100;
const REGISTERED_WITHIN: Duration = Duration::from_secs(3600);

/// Counts wrong passwords and registrations.
pub struct Throttle(Counts);

/// Someone tries to log in.
pub struct Attempt {
    /// Each count's name, and what it may be.
    counts: Vec<(String, u32)>,
}

impl Attempt {
    /// An attempt for that name, if it can be one, from the request's address.
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

    /// Forgets the wrong passwords for a name from an address: its user has logged in there.
    ///
    /// # Errors
    /// 429 if others that came at the same time were too many: a guess must not be better for being one of many.
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
