//! The promises of the crate, checked against processes that are killed, files that are moved and other programs that write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod child;
mod file_ledger;
mod followers;
mod foreign;
mod hooked;
mod killed;
mod late;
mod lock;
mod loss;
mod place;
mod power;
mod resumed;
mod rotated;
mod torn;
