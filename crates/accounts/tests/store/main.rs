//! The promises of the port `Accounts`, checked against every adapter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod api_keys;
mod audit;
mod commits;
mod users;
