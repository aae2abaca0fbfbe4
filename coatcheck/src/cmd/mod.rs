//! One file a command.

pub mod get;
pub mod healthcheck;
pub mod migrate;
pub mod put;
