//! Coatcheck's data and its protocol.
//!
//! [`life`] is the life of a promise, once, over the ports; all else serves it. The ports ([`store`], [`queue`], [`blobs`],
//! [`notify`]) have their adapters beside them, and [`stack`] opens those that a program's settings name. An adapter
//! holds no protocol and calls no other port.
//! [`verify`] checks afterwards that what the protocol promises is so.
#![deny(missing_docs)]

pub mod backup;
pub mod blobs;
pub mod error;
pub mod idempotency;
mod intake;
pub mod kinds;
pub mod life;
pub mod metrics;
pub mod notify;
pub mod outcome;
pub mod queue;
pub mod retry_after;
pub mod settings;
pub mod stack;
pub mod store;
pub mod tables;
pub mod task;
pub mod verify;
mod wait;

pub use intake::Intake;
pub use shared_log;
pub use wait::Watch;
