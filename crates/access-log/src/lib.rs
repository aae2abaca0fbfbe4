//! The access log: appends lines in batches, and reads records in the order of commit, a chunk at a time. It makes no promises as tasks
//! have them.
//!
//! [`Records`] is the port to the rows, which [`database::Sqlite`] and [`database::Postgres`] implement; [`AccessLog`] batches and reads
//! over it.
#![deny(missing_docs)]

mod log;
mod metrics;
pub mod record;
mod store;

pub use self::log::{AccessLog, ReadError, Reader, Selection};
pub use self::store::{
    Count, Deleted, NewRecord, PlacedRecord, RecordCounts, RecordFilter, Records, Span, of,
};
