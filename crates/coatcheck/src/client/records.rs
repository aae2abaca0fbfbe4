//! Calls of the access log: adds a record, and reads the records after one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::lines::Lines;
use super::meter::Trouble;
use super::{Client, ClientError, TRIES_IN_SILENCE};

/// How long an answer may take once the command has been told to end.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// The longest record as a line of JSON, in bytes, with a wide margin.
const MAX_LINE: usize = 64 * 1024;

/// The server's record of a line.
#[derive(Debug, Deserialize)]
pub struct Added {
    pub id: Uuid,
    pub created: String,
}

impl Client {
    /// Adds a record; retries until the server accepts it, however long that takes. `None` if `stop` came before that.
    ///
    /// If an answer is lost, its record exists on the server although the caller does not know it; the next try adds another.
    ///
    /// # Errors
    /// If the server rejects the line, or is not Coatcheck.
    pub async fn add_record(
        &self,
        line: &str,
        stop: &CancellationToken,
    ) -> Result<Option<Added>, ClientError> {
        let url = self.url(&["data"]);
        let body = json!({ "log": line });
        let nothing_sent = AtomicU64::new(0);
        let mut failures = 0;
        loop {
            let answer = tokio::select! {
                answer = self.answer(self.http.post(url.clone()).json(&body), &nothing_sent) => answer,
                // A request under way is waited for: its record may well be kept.
                () = async { stop.cancelled().await; sleep(LAST_WAIT).await } => return Ok(None),
            };
            let error = match answer {
                Ok(text) => {
                    if self.meter.clear() {
                        info!("{} takes records again", self.name);
                    }
                    let added = serde_json::from_str(&text).map_err(|_| self.foreign(StatusCode::CREATED))?;
                    return Ok(Some(added));
                }
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            self.tries_repeated.fetch_add(1, Relaxed);
            // Reported once, by the first thread that meets it. A server that is full for a moment is not reported.
            let is_worth_a_word = !error.is_answer() || failures >= TRIES_IN_SILENCE;
            let trouble = Trouble::new(error.to_string(), is_worth_a_word);
            if is_worth_a_word && !self.meter.set(trouble) {
                warn!("{error}; trying until it passes");
            }
            tokio::select! {
                () = sleep(error.pause(failures)) => failures += 1,
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    /// Returns how often a record had to be sent again.
    pub fn tries_repeated(&self) -> u64 {
        self.tries_repeated.load(Relaxed)
    }

    /// Returns up to `limit` records that follow `after`, or the first of all, oldest first. Tries once.
    ///
    /// # Errors
    /// [`ClientError::UnknownRecord`], or the reason why the server does not answer.
    pub async fn records(&self, after: Option<Uuid>, limit: usize) -> Result<Lines<'_>, ClientError> {
        let mut url = self.url(&["data"]);
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
        if let Some(id) = after {
            url.query_pairs_mut().append_pair("id", &id.to_string());
        }
        self.lines(url, "application/x-ndjson", MAX_LINE).await
    }
}
