//! Uploads: what they are answered with, and what is refused.

pub mod digests;
pub mod disk;
pub mod memory;
pub mod promises;
pub mod refusals;
pub mod repeats;
