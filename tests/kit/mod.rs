//! Starts programs, sends them requests and watches them.

pub mod chromium;
pub mod client;
pub mod content;
pub mod held;
pub mod load;
pub mod outcomes;
pub mod people;
pub mod program;
pub mod proxy;
pub mod scripted;
pub mod stack;
pub mod stand_ins;
pub mod terminal;
pub mod tls;
