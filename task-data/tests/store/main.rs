//! The promises of the port `Store`, checked against every adapter.
//!
//! A promise uses the port alone. Properties of one adapter (a file that people can read) are tested in that adapter's file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod attempts;
mod claims;
mod commits;
mod due;
mod ends;
mod feed;
mod find;
mod followers;
mod keys;
mod leases;
mod list;
mod newer;
mod owned;
mod paid_calls;
mod pauses;
mod pgbouncer;
mod postgres;
mod progress;
mod retention;
mod rows;
mod samples;
mod small;
mod sql_states;
mod sqlite;
mod stats;
mod table_rows;
mod upkeep;
