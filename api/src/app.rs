//! What all handlers share.

use std::sync::Arc;

use program::PrometheusHandle;
use task_data::access_log::AccessLog;
use task_data::life::Life;
use task_data::password::Passwords;
use tokio::sync::watch;

use crate::http::slots::Slots;
use crate::identity::throttle::Throttle;
use crate::identity::token::Keys;
use crate::records::counting::Counting;
use crate::settings::{AccessSettings, AddressSettings};
use crate::site::health::TriedWrites;
use crate::uploads::admission::Admission;

/// What every handler is given.
pub struct Api {
    pub life: Arc<Life>,
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

    /// Returns when the server begins to stop.
    pub async fn draining(&self) {
        let mut draining = self.draining.clone();
        // The sender is gone only when the server is.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    }
}
