//! Calls of the access log: adds a record, and reads the records after one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::answers::{self, Added, NewRecord};
use crate::calls;
use crate::client::{Client, TRIES_IN_SILENCE};
use crate::error::ClientError;
use crate::lines::Lines;
use crate::meter::Trouble;

/// How long an answer may take once the command has been told to end.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// The longest record as a line of JSON, in bytes, with a wide margin.
const MAX_LINE: usize = 64 * 1024;

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
        let request = || self.request(&calls::ADD_RECORD, &[], &[]).json(&NewRecord { log: line });
        let nothing_sent = AtomicU64::new(0);
        let mut failures = 0;
        loop {
            let answer = tokio::select! {
                answer = self.answer(request(), &nothing_sent) => answer,
                // A request under way is waited for: its record may well be kept.
                () = async { stop.cancelled().await; sleep(LAST_WAIT).await } => return Ok(None),
            };
            let error = match answer {
                Ok(text) => {
                    if self.meter().clear() {
                        info!("{} takes records again", self.name());
                    }
                    let added = answers::read(&text).ok_or_else(|| self.foreign(StatusCode::CREATED))?;
                    return Ok(Some(added));
                }
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            self.count_repeat();
            // Reported once, by the first thread that meets it. A server that is full for a moment is not reported.
            let is_worth_a_word = !error.is_answer() || failures >= TRIES_IN_SILENCE;
            let trouble = Trouble::new(error.to_string(), is_worth_a_word);
            if is_worth_a_word && !self.meter().set(trouble) {
                warn!("{error}; trying until it passes");
            }
            tokio::select! {
                () = sleep(error.pause(failures)) => failures += 1,
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    /// Returns up to `limit` records that follow `after`, or the first of all, oldest first. Tries once.
    ///
    /// # Errors
    /// [`ClientError::UnknownRecord`], [`ClientError::ExpiredRecord`], or the reason why the server does not answer.
    pub async fn records(&self, after: Option<Uuid>, limit: usize) -> Result<Lines<'_>, ClientError> {
        let (limit, after) = (limit.to_string(), after.map(|id| id.to_string()));
        let parameters = calls::parameters([("limit", Some(&*limit)), ("id", after.as_deref())]);
        self.lines(&calls::RECORDS, &[], &parameters, "application/x-ndjson", MAX_LINE).await
    }
}
