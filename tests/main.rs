//! Black-box tests: the real program as real processes, over HTTP and its command line alone.
//!
//! `kit` has how programs are started, asked and watched; beside it, a room a subject, by the words of the API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy.toml excuses only functions that are marked as tests"
)]

mod book;
mod browser;
mod chaos;
mod cli;
mod deployment;
mod http;
mod identity;
mod kit;
mod limits;
mod operators;
mod project;
mod records;
mod site;
mod stack;
mod tasks;
mod uploads;
