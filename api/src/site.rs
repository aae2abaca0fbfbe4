//! What is there for people and machines that look: pages, the API's description, health.

pub mod health;
pub mod missing;
pub mod openapi;
pub mod page;
