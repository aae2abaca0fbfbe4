//! State that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use access_log::AccessLog;
use accounts::Accounts;
use accounts::password::Passwords;
use actix_web::HttpRequest;
use limits::Limits;
use task_data::blobs::Blobs;
use task_data::life::Life;
use task_data::queue::Queue;
use task_data::store::Store;
use tokio::sync::watch;

use crate::http::permits::{Client, FairSemaphore, Permit};
use crate::http::problem::{Code, Problem};
use crate::identity::throttle::Throttle;
use crate::identity::token::Keys;
use crate::operators::kinds::Loads;
use crate::records::counting::Counting;
use crate::settings::{AccessSettings, AddressSettings};
use crate::site::health::{RetentionTimes, TriedWrites};
use crate::uploads::admission::Admission;

/// How long a password waits for its permit: long enough for others of its client to be hashed on a busy machine.
const PASSWORD_WAIT: Duration = Duration::from_secs(10);

/// The state that every handler receives.
pub struct Api {
    pub life: Arc<Life>,
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub blobs: Arc<dyn Blobs>,
    pub limits: Arc<dyn Limits>,
    pub accounts: Arc<dyn Accounts>,
    pub access_log: AccessLog,
    pub counting: Counting,
    /// Permits for answers with rows of tables, records and lists of tasks.
    pub table_answers: Arc<FairSemaphore>,
    pub record_answers: Arc<FairSemaphore>,
    pub list_answers: Arc<FairSemaphore>,
    /// Places of readers of outcomes, which may wait.
    pub outcome_readers: Arc<FairSemaphore>,
    pub admission: Admission,
    pub writes: TriedWrites,
    pub retention: RetentionTimes,
    pub loads: Loads,
    pub keys: Keys,
    pub passwords: Passwords,
    pub password_permits: Arc<FairSemaphore>,
    pub throttle: Throttle,
    pub access: AccessSettings,
    pub addresses: AddressSettings,
    pub draining: watch::Receiver<bool>,
}

impl Api {
    /// Returns whether the server is stopping and takes no new work.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Takes a permit to hash a password, so that a client that sends many passwords, right or wrong, does not block the others.
    ///
    /// # Errors
    /// 503 if no permit is free for the request's client.
    pub async fn password_permit(&self, request: &HttpRequest) -> Result<Permit, Problem> {
        let permit = self.password_permits.take_within(Client::of(request, None), PASSWORD_WAIT).await;
        permit.ok_or_else(|| Code::Overloaded.because("Too many passwords are being looked at."))
    }

    /// Returns when the server begins to stop.
    pub async fn draining(&self) {
        let mut draining = self.draining.clone();
        // The sender is gone only when the server is.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    }
}
