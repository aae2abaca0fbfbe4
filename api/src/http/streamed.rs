//! Many rows as one answer that holds in memory one chunk of rows and one piece of the text they become.
//!
//! The source reads the next chunk when the client has taken the one before. A failure midway ends the connection without the end of the
//! body, so that no client takes a part for the whole.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, Accept, CONTENT_TYPE, Header, Quality, QualityItem, VARY};
use actix_web::mime::Mime;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, stream};
use serde::Serialize;

use crate::http::permits::{Client, FairSemaphore, Permit};
use crate::http::problem::{Code, Problem};

/// The media type of one row a line.
pub const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// The size in bytes at which a piece takes no further row, and no further part of a row.
const PIECE: usize = 64 << 10;
const LARGEST_PIECE: usize = 1 << 20;

/// A source of rows.
pub trait RowSource {
    type Row;

    /// Returns the next rows, never an empty chunk; `None` at the end.
    async fn chunk(&mut self) -> Result<Option<Vec<Self::Row>>, Problem>;
}

/// A way to write rows one after another.
pub trait Format<Row> {
    /// Returns the text before the first row.
    fn begin(&self) -> &[u8];

    /// Writes one row, as the same bytes each time.
    fn write(&self, out: &mut impl Write, row: &Row, is_first: bool) -> io::Result<()>;

    /// Returns the text after the last row.
    fn end(&self) -> &[u8];
}

/// Answers with all rows of the source. Takes one of the permits until the answer has ended.
///
/// # Errors
/// Those of the source's first chunk; 503 if no permit is free for the request's client.
pub async fn answer<S, F>(
    request: &HttpRequest,
    semaphore: &Arc<FairSemaphore>,
    media_type: &str,
    format: F,
    mut source: S,
) -> Result<HttpResponse, Problem>
where
    S: RowSource + 'static,
    F: Format<S::Row> + 'static,
{
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, media_type)).insert_header((VARY, ACCEPT.as_str()));
    if request.method() == Method::HEAD {
        // The client would not see any of the rows.
        return Ok(response.streaming(stream::empty::<Result<Bytes, Problem>>()));
    }
    let permit = semaphore.take(Client::of(request, None)).await;
    let permit = permit.ok_or_else(|| Code::Overloaded.because("Too many long answers are on their way."))?;
    // The first chunk is read before the status is sent, so that an early failure gets a usual problem.
    let rows = source.chunk().await?.map(VecDeque::from).unwrap_or_default();
    let rest = Rest { format, source, rows, given: 0, is_first: true, next: Next::Begin, _permit: permit };
    Ok(response.streaming(written(rest)))
}

/// The rest of an answer's body, with its source.
struct Rest<S: RowSource, F> {
    format: F,
    source: S,
    /// Rows of the chunk that were not sent whole.
    rows: VecDeque<S::Row>,
    /// Bytes of the first such row that were sent.
    given: usize,
    /// Whether the first row of all is still to come.
    is_first: bool,
    next: Next,
    _permit: Permit,
}

/// The next step of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Begin,
    Rows,
    Chunk,
    /// The answer is complete, or it broke off.
    Nothing,
}

fn written<S: RowSource, F: Format<S::Row>>(rest: Rest<S, F>) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold(rest, async |mut rest| {
        if rest.next == Next::Nothing {
            return None;
        }
        let piece = rest.piece().await;
        if piece.is_err() {
            rest.next = Next::Nothing;
        }
        Some((piece, rest))
    })
}

impl<S: RowSource, F: Format<S::Row>> Rest<S, F> {
    /// Returns the next bytes. Reads a new chunk only when the one before is used up, so reading keeps the client's pace.
    async fn piece(&mut self) -> Result<Bytes, Problem> {
        let mut piece = Piece::default();
        if self.next == Next::Begin {
            piece.bytes.extend_from_slice(self.format.begin());
            self.next = Next::Rows;
        }
        if self.next == Next::Chunk {
            self.rows = self.source.chunk().await?.map(VecDeque::from).unwrap_or_default();
        }
        if self.rows.is_empty() {
            piece.bytes.extend_from_slice(self.format.end());
            self.next = Next::Nothing;
            return Ok(piece.bytes.into());
        }
        self.next = Next::Rows;
        while let Some(row) = self.rows.front()
            && piece.bytes.len() < PIECE
        {
            let before = piece.bytes.len();
            piece.skip = self.given;
            match self.format.write(&mut piece, row, self.is_first) {
                Ok(()) => {
                    self.rows.pop_front();
                    (self.given, self.is_first) = (0, false);
                }
                Err(_) if piece.is_full => {
                    self.given += piece.bytes.len() - before;
                    break;
                }
                Err(error) => return Err(Problem::internal(&error)),
            }
        }
        if self.rows.is_empty() {
            self.next = Next::Chunk;
        }
        Ok(piece.bytes.into())
    }
}

/// A writer that keeps a part of the bytes written to it: those after `skip`, up to the room left. A large row is written again for each of
/// its pieces. So at most one piece of its text is in memory, which may be six times the size of the row.
#[derive(Default)]
struct Piece {
    skip: usize,
    bytes: Vec<u8>,
    is_full: bool,
}

impl Write for Piece {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let (wanted, room) = (&bytes[skipped..], LARGEST_PIECE.saturating_sub(self.bytes.len()));
        let taken = wanted.len().min(room);
        self.bytes.extend_from_slice(&wanted[..taken]);
        if taken < wanted.len() {
            self.is_full = true;
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows as JSON: an array, or one row a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFormat {
    Array,
    Lines,
}

impl JsonFormat {
    /// Returns the format that `Accept` asks for; an array for any other value.
    pub fn wanted(request: &HttpRequest) -> Self {
        if accepts(request, NDJSON) { Self::Lines } else { Self::Array }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Array => JSON,
            Self::Lines => NDJSON,
        }
    }
}

impl<Row: Serialize> Format<Row> for JsonFormat {
    fn begin(&self) -> &[u8] {
        match self {
            Self::Array => b"[",
            Self::Lines => b"",
        }
    }

    fn write(&self, out: &mut impl Write, row: &Row, is_first: bool) -> io::Result<()> {
        if *self == Self::Array && !is_first {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, row)?;
        match self {
            Self::Array => Ok(()),
            Self::Lines => out.write_all(b"\n"),
        }
    }

    fn end(&self) -> &[u8] {
        match self {
            Self::Array => b"]\n",
            Self::Lines => b"",
        }
    }
}

/// Returns whether `Accept` names a media type as acceptable.
pub fn accepts(request: &HttpRequest, media_type: &str) -> bool {
    let is_named =
        |named: &QualityItem<Mime>| named.item.essence_str() == media_type && named.quality > Quality::ZERO;
    Accept::parse(request).is_ok_and(|accept| accept.iter().any(is_named))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures::StreamExt;

    use super::*;

    /// Rows of given sizes; each inner list is a chunk.
    struct Chunks(Vec<Vec<String>>);

    impl RowSource for Chunks {
        type Row = String;

        async fn chunk(&mut self) -> Result<Option<Vec<String>>, Problem> {
            Ok((!self.0.is_empty()).then(|| self.0.remove(0)))
        }
    }

    #[tokio::test]
    async fn an_answer_comes_in_small_pieces_whatever_its_rows_are() {
        let row = |length: usize| "\u{1}é\"".repeat(length);
        for chunks in [
            vec![],
            vec![vec![row(1)]],
            vec![vec![row(10); 1000], vec![row(1); 3]],
            vec![vec![row(1), row(1 << 20), row(1)], vec![row(300_000); 4]],
        ] {
            for format in [JsonFormat::Array, JsonFormat::Lines] {
                let expected = match format {
                    JsonFormat::Array => {
                        let rows: Vec<_> =
                            chunks.concat().iter().map(|row| serde_json::json!(row).to_string()).collect();
                        format!("[{}]\n", rows.join(",\n"))
                    }
                    JsonFormat::Lines => {
                        chunks.concat().iter().map(|row| format!("{}\n", serde_json::json!(row))).collect()
                    }
                };
                let permit = FairSemaphore::new(1).take(Client::Unknown).await.unwrap();
                let mut source = Chunks(chunks.clone());
                let rows = source.chunk().await.unwrap().map(VecDeque::from).unwrap_or_default();
                let rest = Rest {
                    format,
                    source,
                    rows,
                    given: 0,
                    is_first: true,
                    next: Next::Begin,
                    _permit: permit,
                };

                let pieces: Vec<Bytes> = written(rest).map(Result::unwrap).collect().await;

                assert!(pieces.iter().all(|piece| piece.len() <= LARGEST_PIECE));
                assert!(pieces.concat() == expected.as_bytes());
            }
        }
    }

    #[test]
    fn lines_are_for_who_asks_for_them() {
        for (accept, format) in [
            ("application/x-ndjson", JsonFormat::Lines),
            ("Application/X-NDJSON; q=0.5, text/html", JsonFormat::Lines),
            ("application/json, application/x-ndjson", JsonFormat::Lines),
            ("application/x-ndjson;q=0", JsonFormat::Array),
            (";;, application/x-ndjson; q=0.001", JsonFormat::Lines),
            ("application/json", JsonFormat::Array),
            ("*/*", JsonFormat::Array),
            ("", JsonFormat::Array),
        ] {
            let request = TestRequest::default().append_header((ACCEPT, accept)).to_http_request();
            assert_eq!(JsonFormat::wanted(&request), format, "{accept}");
        }
    }
}
