//! What operators do: pauses, and workers that drain.

mod pauses;
mod workers;
