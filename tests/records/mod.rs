//! The access log: lines in, records out, and their export.

pub mod append;
pub mod export;
pub mod exporters;
pub mod read;
pub mod retention;
pub mod simulate;
