//! Coatcheck's HTTP side: takes uploads in, hands tickets out, redeems them; keeps the access log; and knows
//! who is logged in.
//!
//! [`Server`] is all that a program needs of it. Handlers hold no protocol: they check what a request says and ask
//! [`task_data::life::Life`]. They run on actix's single-threaded workers and are dropped when a client resets its
//! connection, so nothing that must be finished lives here; a promise is kept by the `Life`, on the runtime that started it.
//!
//! Every refusal is a [`problem::Problem`], the only way to answer with an error.

mod access;
mod accounts;
mod addresses;
mod admission;
mod api_keys;
mod auth;
mod body;
mod counts;
mod csv;
mod dates;
mod events;
mod expected;
mod filename;
#[cfg(test)]
#[path = "../../tests/fuzzing.rs"]
mod fuzzing;
mod health;
mod hops;
mod idempotency;
mod json;
mod kept;
mod kinds;
mod look;
mod missing;
mod multipart;
mod openapi;
mod origin;
mod page;
mod part;
mod patience;
pub mod problem;
mod process;
mod quota;
mod records;
mod request;
mod secret;
mod server;
mod session;
mod settings;
mod slots;
mod stalled;
mod streamed;
mod tasks;
mod throttle;
mod token;
mod upload;
mod users;

pub use process::{ApiArgs, run};
pub use secret::PATH as KEPT_SECRET;
pub use server::{BindError, Server};
pub use settings::ApiSettings;
