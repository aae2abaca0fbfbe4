//! What operators see and do: kinds and their pauses, workers and their draining.
//!
//! Reads are for viewers, changes for operators.

pub mod kinds;
pub mod workers;
