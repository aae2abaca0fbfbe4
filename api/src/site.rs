//! The parts for people and for other machines: pages, the API's description, health and metrics.

pub mod health;
pub mod missing;
pub mod openapi;
pub mod page;
