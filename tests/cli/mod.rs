//! The commands: what they print, what they refuse, how they end.

pub mod backup;
pub mod client;
pub mod config;
pub mod doctor;
pub mod healthcheck;
pub mod md5sum;
pub mod missteps;
pub mod ops;
pub mod providers;
pub mod put;
pub mod put_forms;
pub mod resume;
pub mod settings;
pub mod shell;
pub mod standard_output;
pub mod sum;
pub mod terminal;
pub mod tickets;
pub mod tls;
pub mod tokens;
pub mod verify;
