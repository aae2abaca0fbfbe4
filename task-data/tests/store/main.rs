//! The promises of the port `Store`, checked against every adapter.
//!
//! A promise sees the port alone. What only one adapter has (a file that people can read) stands in that adapter's file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod claims;
mod commits;
mod due;
mod ends;
mod keys;
mod leases;
mod list;
mod newer;
mod outcomes;
mod owned;
mod paid_calls;
mod pgbouncer;
mod postgres;
mod rows;
mod samples;
mod sql_states;
mod sqlite;
mod table_rows;
mod upkeep;
