//! Checks of the sources and documents themselves.

pub mod architecture;
pub mod readme;
pub mod words;
