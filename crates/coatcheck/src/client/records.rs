//! Calls of the access log: adds a record, and reads the records after one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::meter::Trouble;
use super::{Client, ClientError, SILENCE, TRIES_IN_SILENCE, retry_after};

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
    pub async fn records(&self, after: Option<Uuid>, limit: usize) -> Result<RecordLines<'_>, ClientError> {
        let mut url = self.url(&["data"]);
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
        if let Some(id) = after {
            url.query_pairs_mut().append_pair("id", &id.to_string());
        }
        let request = self.http.get(url).header(ACCEPT, "application/x-ndjson");
        let response = self.in_time(request.send()).await?;
        if response.status().is_success() {
            return Ok(RecordLines { client: self, response, bytes: Vec::new(), read: 0 });
        }
        let (status, retry_after) = (response.status(), retry_after(&response));
        let text = self.in_time(response.text()).await?;
        Err(self.refusal(status, &text, retry_after))
    }

    async fn in_time<T>(&self, step: impl Future<Output = reqwest::Result<T>>) -> Result<T, ClientError> {
        match timeout(SILENCE, step).await {
            Ok(outcome) => outcome.map_err(|source| self.lost(source)),
            Err(_) => Err(ClientError::Silent { server: self.shown.clone() }),
        }
    }
}

/// Records as they are received, each as one line of JSON. If this is dropped, the rest is not read.
#[derive(Debug)]
pub struct RecordLines<'c> {
    client: &'c Client,
    response: Response,
    /// The received bytes, and how many of them were returned.
    bytes: Vec<u8>,
    read: usize,
}

impl RecordLines<'_> {
    /// Returns the next record's line, without its newline; `None` after the last one.
    ///
    /// # Errors
    /// If the answer breaks off, or is not a list of lines. The lines before that are whole.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let unread = &self.bytes[self.read..];
            if let Some(newline) = unread.iter().position(|byte| *byte == b'\n') {
                let line = str::from_utf8(&unread[..newline]).map(str::to_owned);
                self.read += newline + 1;
                return line.map(Some).map_err(|_| self.foreign());
            }
            if unread.len() > MAX_LINE {
                return Err(self.foreign());
            }
            self.bytes.drain(..self.read);
            self.read = 0;
            match self.client.in_time(self.response.chunk()).await? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None if self.bytes.is_empty() => return Ok(None),
                None => return Err(self.foreign()),
            }
        }
    }

    /// Returns the error for an answer that does not come from Coatcheck.
    pub fn foreign(&self) -> ClientError {
        self.client.foreign(self.response.status())
    }
}
