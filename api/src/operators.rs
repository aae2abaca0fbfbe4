//! What operators see and do: kinds and their pauses, workers and their draining, statistics.
//!
//! Reads are for viewers, changes for operators.

pub mod kinds;
pub mod stats;
pub mod workers;
