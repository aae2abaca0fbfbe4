//! What one may have or send at once, and what all together cost.

pub mod bounds;
pub mod crowd;
pub mod descriptors;
pub mod optimum;
pub mod quotas;
