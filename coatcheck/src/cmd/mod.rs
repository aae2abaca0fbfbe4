//! One file a command.

pub mod get;
pub mod migrate;
pub mod put;
