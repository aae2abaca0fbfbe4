//! Tells an operator whether the servers of the distributed form can be reached, and what they lack. Changes nothing.

pub use database::postgres::Examined;
use program::in_one_line;

use crate::notify::redis;
use crate::queue::amqp::Broker;
use crate::stack;

/// Looks at the PostgreSQL database at that URL. Must run on a multi-thread runtime.
///
/// # Errors
/// One line for a person, if the URL is invalid or the database can't be reached or read.
pub async fn postgres(url: &str) -> Result<Examined, String> {
    let database = stack::postgres(url).map_err(|error| reason(&in_one_line(&error), "DATABASE_URL"))?;
    database.examine().await.map_err(|error| in_one_line(&error))
}

/// Opens a connection to the broker at that URL.
///
/// # Errors
/// One line for a person, if the URL is invalid, or the broker can't be reached or takes no messages.
pub async fn broker(url: &str) -> Result<(), String> {
    Broker::new(url)?.reach().await.map_err(|error| in_one_line(&error))
}

/// Sends a PING to the Redis at that URL.
///
/// # Errors
/// One line for a person, if the URL is invalid or Redis can't be reached.
pub async fn redis(url: &str) -> Result<(), String> {
    redis::ping(url).await
}

/// Returns the error without the setting, which the caller names.
fn reason(line: &str, setting: &str) -> String {
    line.strip_prefix(&format!("{setting}: ")).unwrap_or(line).to_owned()
}
