//! Long answers, read line by line as they are received.

use reqwest::Response;
use reqwest::header::ACCEPT;

use crate::calls::Call;
use crate::client::{Client, retry_after};
use crate::error::ClientError;

impl Client {
    /// Requests an answer of lines, each up to `longest` bytes. Tries once.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub(crate) async fn lines<T>(
        &self,
        call: &Call<T>,
        segments: &[&str],
        parameters: &[(&str, &str)],
        media_type: &'static str,
        longest: usize,
    ) -> Result<Lines<'_>, ClientError> {
        let request = self.request(call, segments, parameters).header(ACCEPT, media_type);
        let response = self.in_time(request.send()).await?;
        if response.status().is_success() {
            return Ok(Lines { client: self, response, longest, bytes: Vec::new(), read: 0 });
        }
        let (status, retry_after) = (response.status(), retry_after(&response));
        let text = self.in_time(response.text()).await?;
        Err(self.refusal(status, &text, retry_after))
    }
}

/// The lines of an answer. If this is dropped, the rest is not read.
#[derive(Debug)]
pub struct Lines<'c> {
    client: &'c Client,
    response: Response,
    longest: usize,
    /// The received bytes, and how many of them were returned.
    bytes: Vec<u8>,
    read: usize,
}

impl Lines<'_> {
    /// Returns the next line, without its newline; `None` after the last one.
    ///
    /// # Errors
    /// If the answer breaks off, or is not a list of lines. The lines before that are whole.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        // Bytes without a newline are not looked through again.
        let mut seen = self.read;
        loop {
            if let Some(newline) = self.bytes[seen..].iter().position(|byte| *byte == b'\n') {
                let line = str::from_utf8(&self.bytes[self.read..seen + newline]).map(str::to_owned);
                self.read = seen + newline + 1;
                return line.map(Some).map_err(|_| self.foreign());
            }
            self.bytes.drain(..self.read);
            self.read = 0;
            seen = self.bytes.len();
            if seen > self.longest {
                return Err(self.foreign());
            }
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
