//! The HTTP side of Coatcheck: accepts uploads, hands out tickets and redeems them, keeps the access log, and authenticates users.
//!
//! [`Server`] is all that a program needs. Handlers contain no protocol: they check the request and call [`task_data::life::Life`]. They
//! run on actix's single-threaded workers and are dropped when a client resets its connection, so nothing that must be finished lives here;
//! the `Life` keeps promises, on the runtime that started it.
//!
//! Every error response is a [`http::problem::Problem`], the only way to answer with an error.

mod app;
mod http;
mod identity;
mod operators;
mod process;
mod records;
mod resource;
mod route;
mod routes;
mod server;
mod settings;
mod site;
mod tasks;
mod uploads;

pub use http::problem;
pub use identity::secret::PATH as KEPT_SECRET;
pub use process::{ApiArgs, run};
pub use server::{Address, BindError, Server};
pub use settings::ApiSettings;
