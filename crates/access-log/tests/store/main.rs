//! What each database must keep: the promises of the port `Records`, held against every adapter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod commits;
mod records;
