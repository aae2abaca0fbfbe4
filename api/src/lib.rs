//! Coatcheck's HTTP side: takes uploads in, hands tickets out, redeems them; and keeps the access log.
//!
//! [`Server`] is all that a program needs of it. Handlers hold no protocol: they check what a request says and ask
//! [`task_data::life::Life`]. They run on actix's single-threaded workers and are dropped when a client resets its
//! connection, so nothing that must be finished lives here; a promise is kept by the `Life`, on the runtime that started it.
//!
//! Every refusal is a [`problem::Problem`], the only way to answer with an error.

mod admission;
mod body;
mod dates;
mod events;
mod expected;
mod filename;
mod health;
mod idempotency;
mod kinds;
mod multipart;
mod openapi;
mod page;
mod part;
mod patience;
pub mod problem;
mod process;
mod records;
mod request;
mod server;
mod settings;
mod tasks;
mod upload;

pub use process::{ApiArgs, run};
pub use server::Server;
pub use settings::ApiSettings;
