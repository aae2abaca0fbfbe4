//! What the sources and documents say of themselves.

pub mod architecture;
pub mod readme;
pub mod words;
