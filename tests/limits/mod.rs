//! The limits of one client, and the cost of all together.

pub mod bounds;
pub mod crowd;
pub mod descriptors;
pub mod optimum;
pub mod quotas;
