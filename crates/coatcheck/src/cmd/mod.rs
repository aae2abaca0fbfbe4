//! One file a command.

pub mod backup;
pub mod export;
pub mod get;
pub mod healthcheck;
pub mod migrate;
pub mod put;
pub mod simulate;
pub mod sum;
pub mod user;
pub mod verify;
