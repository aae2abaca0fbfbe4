//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use access_log::AccessLog;
use accounts::Accounts;
use accounts::password::Passwords;
use actix_web::HttpRequest;
use limits::Limits;
use program::PrometheusHandle;
use task_data::blobs::Blobs;
use task_data::life::Life;
use task_data::queue::Queue;
use task_data::store::Store;
use tokio::sync::watch;

use crate::http::problem::{Code, Problem};
use crate::http::slots::{Client, Slot, Slots};
use crate::identity::throttle::Throttle;
use crate::identity::token::Keys;
use crate::records::counting::Counting;
use crate::settings::{AccessSettings, AddressSettings};
use crate::site::health::TriedWrites;
use crate::uploads::admission::Admission;

/// How long a password waits for its place: for as long as others of its client are hashed on a busy machine.
const PASSWORD_WAIT: Duration = Duration::from_secs(10);

/// What every handler is given.
pub struct Api {
    pub life: Arc<Life>,
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub blobs: Arc<dyn Blobs>,
    pub limits: Arc<dyn Limits>,
    pub accounts: Arc<dyn Accounts>,
    pub access_log: AccessLog,
    pub counting: Counting,
    /// Of answers with rows of tables, records and lists of tasks.
    pub table_answers: Arc<Slots>,
    pub record_answers: Arc<Slots>,
    pub list_answers: Arc<Slots>,
    pub metrics: PrometheusHandle,
    pub admission: Admission,
    pub writes: TriedWrites,
    pub keys: Keys,
    pub passwords: Passwords,
    pub password_places: Arc<Slots>,
    pub throttle: Throttle,
    pub access: AccessSettings,
    pub addresses: AddressSettings,
    pub draining: watch::Receiver<bool>,
}

impl Api {
    /// Whether the server takes nothing new any more.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Takes a place among the passwords that are hashed, so that a client that sends many, right or wrong, keeps no other out.
    ///
    /// # Errors
    /// 503 if there is none for the request's client.
    pub async fn password_place(&self, request: &HttpRequest) -> Result<Slot, Problem> {
        let place = self.password_places.take_within(Client::of(request, None), PASSWORD_WAIT).await;
        place.ok_or_else(|| Code::Overloaded.because("Too many passwords are being looked at."))
    }

    /// Returns when the server begins to stop.
    pub async fn draining(&self) {
        let mut draining = self.draining.clone();
        // The sender is gone only when the server is.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    }
}
