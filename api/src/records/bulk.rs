//! Many lines in one body, as a stream: appends valid lines and reports the others by their numbers.
//!
//! While one batch of lines is committed the next one gathers; beyond that the body is not read. So a slow database slows the sender, and
//! memory stays flat. Of a line that is too long only the number is kept.

use std::collections::BTreeMap;
use std::pin::pin;

use access_log::record::LogLine;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::parse;
use crate::app::Api;
use crate::http::body::{Body, MAX_BYTES};
use crate::http::problem::{self, Code, Problem};
use crate::http::streamed::NDJSON;

/// The lines of one commit, and their bytes. A batch may exceed both, because a chunk of the body stays whole.
const BATCH_LINES: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// The same for a few bodies at a time: the more rows a transaction has, the fewer pages each row costs. With more bodies than that, their
/// batches share transactions, and memory is bounded.
const LARGER_BATCH_LINES: usize = 16_384;
static LARGER_BATCHES: Semaphore = Semaphore::const_new(4);
/// The most rejected lines that the report lists; it counts all.
const LISTED: usize = 1000;

/// The outcome of the lines
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BulkReport {
    /// How many were kept
    saved: u64,
    /// Those that were not, the first thousand at most
    rejected: Vec<RejectedLine>,
    /// How many more were not, if any
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    unlisted: u64,
}

/// A line that was not kept
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedLine {
    /// Its number, from 1; empty lines count
    line: u64,
    reason: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl BulkReport {
    fn reject(&mut self, line: u64, reason: String) {
        if self.rejected.len() < LISTED {
            self.rejected.push(RejectedLine { line, reason });
        } else {
            self.unlisted += 1;
        }
    }
}

/// Add many records
///
/// A line is a log line as it stands, or a JSON object as for one record. Lines end with LF or CRLF; empty ones are skipped.
/// If the database goes away, the disk gets full, or the body is cut short, the refusal tells how many lines were dealt with: those before are
/// kept, the others are not, but for a batch whose commit was not answered.
#[utoipa::path(
    post, path = "/api/data/bulk", tag = "access log", operation_id = "addRecords",
    request_body(content(
        (String = "text/plain", example = "127.0.0.1 GET / 200\n::1 POST /orders 503\n"),
        (String = "application/x-ndjson", example = "{\"log\": \"127.0.0.1 GET / 200\"}\n"),
    )),
    responses(
        (status = 201, description = "The valid lines are kept", body = BulkReport,
         example = json!({"saved": 2, "rejected": [{"line": 3, "reason": "at character 12: expected a URI after the method"}]})),
        BulkProblems,
    ),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    body.count(&request);
    let outcome = add(&api, request.headers(), &mut body).await;
    body.answered(outcome.map(|report| HttpResponse::Created().json(report)))
}

async fn add(api: &Api, headers: &HeaderMap, body: &mut Body) -> Result<BulkReport, Problem> {
    if api.is_draining() {
        return Err(Code::Overloaded.because("The server is stopping."));
    }
    let mut intake = Intake::new(LineFormat::of(headers)?);
    let kept = keep(api, body, &mut intake).await;
    kept.map_err(|problem| {
        problem.adding(&format!("The first {} lines were dealt with.", intake.dealt_with))
    })?;
    Ok(intake.report)
}

/// Reads the body to its end and appends its lines.
async fn keep(api: &Api, body: &mut Body, intake: &mut Intake) -> Result<(), Problem> {
    let mut append = pin!(Fuse::terminated());
    let mut is_read = false;
    // The batch that is being appended: its number of lines, and the number of its last line.
    let mut under_way = (0, 0);
    loop {
        if append.is_terminated() && !intake.batch.is_empty() {
            api.admission.need_disk(intake.batch_bytes as u64).await?;
            let batch = intake.take_batch();
            under_way = (batch.len() as u64, intake.number);
            append.set(api.access_log.append_lines(batch).fuse());
        }
        if is_read && append.is_terminated() {
            return Ok(());
        }
        tokio::select! {
            outcome = &mut append, if !append.is_terminated() => {
                outcome?;
                let (count, number) = under_way;
                intake.report.saved += count;
                intake.dealt_with = number;
            }
            // A wait that is dropped here begins anew; only a body that brings lines causes that.
            chunk = body.chunk(), if !is_read && !intake.is_full() => match chunk {
                Ok(Some(chunk)) => intake.take(&chunk),
                Ok(None) => {
                    intake.end();
                    is_read = true;
                }
                Err(problem) => {
                    // Waits for the batch under way, so that the count is right.
                    if !append.is_terminated() && append.await.is_ok() {
                        let (_, number) = under_way;
                        intake.dealt_with = number;
                    }
                    return Err(problem);
                }
            },
        }
    }
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineFormat {
    Text,
    Json,
}

impl LineFormat {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |detail: &str| Err(Code::UnsupportedMediaType.because(detail));
        if headers.contains_key(CONTENT_ENCODING) {
            return unsupported("Send the lines without Content-Encoding.");
        }
        if headers.contains_key(CONTENT_RANGE) {
            return Err(Code::PartialUpload.because("Send the lines without Content-Range."));
        }
        let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = sent.split(';').map(|part| part.trim().to_ascii_lowercase());
        let format = match parts.next().as_deref() {
            Some("text/plain") => Self::Text,
            Some(NDJSON) => Self::Json,
            _ => return unsupported("It takes text/plain and application/x-ndjson."),
        };
        let is_utf8 = |charset: &str| matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii");
        match parts.find_map(|part| part.strip_prefix("charset=").map(str::to_owned)) {
            Some(charset) if !is_utf8(&charset) => unsupported("It takes lines in UTF-8."),
            _ => Ok(format),
        }
    }

    fn parse(self, line: &[u8]) -> Result<LogLine, String> {
        match self {
            Self::Json => parse(line),
            Self::Text => match std::str::from_utf8(line) {
                Ok(line) => line.parse().map_err(|error: access_log::record::InvalidLog| error.to_string()),
                Err(_) => Err("it is not UTF-8".to_owned()),
            },
        }
    }
}

/// Lines that are being received.
struct Intake {
    format: LineFormat,
    /// The beginning of a line whose end has not come; empty if the line is too long.
    begun: Vec<u8>,
    is_too_long: bool,
    /// The number of the last line that came whole.
    number: u64,
    batch: Vec<LogLine>,
    batch_bytes: usize,
    /// Held for as long as the batches may be larger.
    larger: Option<SemaphorePermit<'static>>,
    /// The last line up to which all lines were kept or rejected.
    dealt_with: u64,
    report: BulkReport,
}

impl Intake {
    fn new(format: LineFormat) -> Self {
        Self {
            format,
            begun: Vec::new(),
            is_too_long: false,
            number: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            larger: LARGER_BATCHES.try_acquire().ok(),
            dealt_with: 0,
            report: BulkReport::default(),
        }
    }

    fn is_full(&self) -> bool {
        let lines = if self.larger.is_some() { LARGER_BATCH_LINES } else { BATCH_LINES };
        self.batch.len() >= lines || self.batch_bytes >= BATCH_BYTES
    }

    fn take_batch(&mut self) -> Vec<LogLine> {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch)
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            // Most lines come whole and need no copy.
            if self.begun.is_empty() && !self.is_too_long && line.len() <= MAX_BYTES {
                self.line(line);
            } else {
                self.begin(line);
                self.end();
            }
            bytes = rest;
        }
        self.begin(bytes);
    }

    /// Adds bytes to a line whose end has not come.
    fn begin(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.begun.len() + bytes.len() > MAX_BYTES {
            self.is_too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// Ends the line, at its line break or at the end of the body.
    fn end(&mut self) {
        if std::mem::take(&mut self.is_too_long) {
            self.number += 1;
            self.report.reject(self.number, format!("it has more than {MAX_BYTES} bytes"));
            return;
        }
        let line = std::mem::take(&mut self.begun);
        self.line(&line);
    }

    fn line(&mut self, line: &[u8]) {
        self.number += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        match self.format.parse(line) {
            Ok(log) => {
                self.batch.push(log);
                self.batch_bytes += line.len();
            }
            Err(reason) => self.report.reject(self.number, reason),
        }
    }
}

struct BulkProblems;

impl IntoResponses for BulkProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::SlowUpload,
            Code::UnsupportedMediaType,
            Code::DatabaseUnavailable,
            Code::Overloaded,
            Code::InsufficientStorage,
        ])
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn taken<'a>(format: LineFormat, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u64>) {
        let mut intake = Intake::new(format);
        chunks.into_iter().for_each(|chunk| intake.take(chunk));
        intake.end();
        let lines = intake.batch.iter().map(LogLine::to_string).collect();
        (lines, intake.report.rejected.iter().map(|rejected| rejected.line).collect())
    }

    #[test]
    fn good_lines_are_kept_and_bad_ones_are_told_by_their_numbers() {
        let lines = b"1.1.1.1 GET /a 200\r\n\nnonsense\n\r\n1.1.1.1 GET /\xff 200\n::1 GET /b 404";
        let kept = vec!["1.1.1.1 GET /a 200".to_owned(), "::1 GET /b 404".to_owned()];

        assert_eq!(taken(LineFormat::Text, [&lines[..]]), (kept.clone(), vec![3, 5]));
        assert_eq!(taken(LineFormat::Text, lines.chunks(1)), (kept, vec![3, 5]));
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_in_memory() {
        let long = vec![b'x'; MAX_BYTES + 1];
        let lines = [&long[..], b"\n1.1.1.1 GET /a 200\n", &long, &long, b"\n", &long].concat();
        let kept = vec!["1.1.1.1 GET /a 200".to_owned()];

        assert_eq!(taken(LineFormat::Text, [&lines[..]]), (kept.clone(), vec![1, 3, 4]));
        assert_eq!(taken(LineFormat::Text, lines.chunks(10_000)), (kept, vec![1, 3, 4]));
        let mut intake = Intake::new(LineFormat::Text);
        lines.chunks(1000).for_each(|chunk| {
            intake.take(chunk);
            assert!(intake.begun.capacity() <= 2 * MAX_BYTES);
        });
    }

    #[test]
    fn rejected_lines_are_all_counted_and_not_all_listed() {
        let mut intake = Intake::new(LineFormat::Text);
        intake.take(&b"nonsense\n".repeat(LISTED + 5));

        assert_eq!((intake.report.rejected.len(), intake.report.unlisted), (LISTED, 5));
    }

    #[test]
    fn lines_are_text_or_json_and_in_utf_8() {
        let format = |content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            LineFormat::of(&headers).ok()
        };
        for (content_type, expected) in [
            ("text/plain", Some(LineFormat::Text)),
            ("Text/Plain; Charset=UTF-8", Some(LineFormat::Text)),
            ("text/plain;charset=\"utf-8\"", Some(LineFormat::Text)),
            ("application/x-ndjson", Some(LineFormat::Json)),
            ("text/plain; charset=utf-16", None),
            ("application/json", None),
            ("application/x-www-format-urlencoded", None),
            ("", None),
        ] {
            assert_eq!(format(content_type), expected, "{content_type}");
        }
        assert!(LineFormat::of(&HeaderMap::new()).is_err());
    }

    proptest! {
        #[test]
        fn where_a_body_is_cut_makes_no_difference(lines in "([0-9a-z. /\r]{0,30}\n|1.1.1.1 GET /[a-z]{0,9} 200\r?\n){0,20}", size in 1_usize..50) {
            prop_assert_eq!(taken(LineFormat::Text, lines.as_bytes().chunks(size)), taken(LineFormat::Text, [lines.as_bytes()]));
        }
    }
}
