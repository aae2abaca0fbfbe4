//! Stand-ins for the outside services that Coatcheck's workers use: a free provider that blocks, a paid one that never does, and a third
//! party that accepts rows.
//!
//! They know nothing of Coatcheck. Each is a server with an address of its own; it counts requests, and can be told at run time to be slow,
//! to fail and to drop connections. Their data is in memory and bounded.

mod call;
mod control;
mod openapi;
mod problem;
mod process;
mod provider;
mod server;
mod stand_in;
mod state;
mod window;

pub use process::{ProvidersArgs, run};
