//! Coatcheck's data and its protocol.
//!
//! [`life`] implements the life of a promise over the ports; all other modules serve it. The ports ([`store`], [`queue`], [`blobs`],
//! [`notify`]) have their adapters beside them, and [`stack`] opens the adapters that a program's settings name. An adapter holds no
//! protocol and calls no other port. [`verify`] checks afterwards that every promise was kept.
#![deny(missing_docs)]

pub mod backup;
pub mod blobs;
pub mod error;
pub mod examine;
pub mod idempotency;
mod intake;
pub mod kinds;
pub mod life;
pub mod metrics;
pub mod notify;
pub mod outcome;
pub mod queue;
pub mod settings;
pub mod stack;
pub mod store;
pub mod tables;
mod tail;
pub mod task;
pub mod verify;
mod wait;

pub use intake::Intake;
pub use shared_log;
pub use tail::{OutcomeReader, ReadError, Tail};
pub use wait::Watch;
