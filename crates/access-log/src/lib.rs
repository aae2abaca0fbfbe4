//! The access log: lines in, in batches; records out, in the order of commit, a chunk at a time. No promise is made here.
//!
//! [`Records`] is the port to the rows, which [`database::Sqlite`] and [`database::Postgres`] implement; [`AccessLog`] walks along them.
#![deny(missing_docs)]

mod log;
mod metrics;
pub mod record;
mod store;

pub use self::log::{AccessLog, Reader, Selection};
pub use self::store::{Count, NewRecord, PlacedRecord, RecordCounts, RecordFilter, Records, Span, of};
