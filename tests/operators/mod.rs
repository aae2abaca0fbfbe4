//! What operators do: pauses, workers that drain, statistics.

mod pauses;
mod stats;
mod workers;
