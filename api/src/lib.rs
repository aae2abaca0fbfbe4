//! Coatcheck's HTTP side: takes uploads in, hands tickets out, redeems them; keeps the access log; and knows
//! who is logged in.
//!
//! [`Server`] is all that a program needs of it. Handlers hold no protocol: they check what a request says and ask
//! [`task_data::life::Life`]. They run on actix's single-threaded workers and are dropped when a client resets its
//! connection, so nothing that must be finished lives here; a promise is kept by the `Life`, on the runtime that started it.
//!
//! Every refusal is a [`http::problem::Problem`], the only way to answer with an error.

mod app;
mod http;
mod identity;
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
