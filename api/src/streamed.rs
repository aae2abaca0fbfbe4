//! Many rows as one answer, which holds a chunk of them at a time.
//!
//! The next chunk is read when the client has taken the one before. A failure on the way ends the connection without the
//! body's end, so that no one takes a part for the whole.

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, VARY};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, stream};
use serde::Serialize;

use crate::problem::Problem;

/// The media type of a row a line.
pub const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// Where rows come from.
pub trait Source {
    type Row;

    /// The next rows, never an empty chunk; `None` at the end.
    async fn chunk(&mut self) -> Result<Option<Vec<Self::Row>>, Problem>;
}

/// How rows are written one after another.
pub trait Form<Row> {
    /// Before all of them.
    fn begin(&self) -> &[u8];

    /// One of them.
    fn write(&self, bytes: &mut Vec<u8>, row: &Row, is_first: bool) -> serde_json::Result<()>;

    /// After all of them.
    fn end(&self) -> &[u8];
}

/// The answer with all that the source has.
///
/// # Errors
/// The source's, at its first chunk.
pub async fn answer<S, F>(
    request: &HttpRequest,
    media_type: &str,
    form: F,
    mut source: S,
) -> Result<HttpResponse, Problem>
where
    S: Source + 'static,
    F: Form<S::Row> + 'static,
{
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, media_type)).insert_header((VARY, ACCEPT.as_str()));
    if request.method() == Method::HEAD {
        // Nobody would see what all the reading is for.
        return Ok(response.streaming(stream::empty::<Result<Bytes, Problem>>()));
    }
    // The first chunk before the status: what fails at once is told in the usual way.
    let first = source.chunk().await?;
    Ok(response.streaming(written(form, source, first)))
}

/// Where a body stands.
enum Next<Row> {
    /// Nothing of it was given.
    First(Option<Vec<Row>>),
    More,
    /// All of it was given, or it broke off.
    Nothing,
}

fn written<S: Source, F: Form<S::Row>>(
    form: F,
    source: S,
    first: Option<Vec<S::Row>>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold((form, source, Next::First(first)), async |(form, mut source, next)| {
        let (chunk, is_begun) = match next {
            Next::First(first) => (Ok(first), false),
            Next::More => (source.chunk().await, true),
            Next::Nothing => return None,
        };
        let mut bytes = if is_begun { Vec::new() } else { form.begin().to_vec() };
        let outcome = chunk.and_then(|chunk| match chunk {
            Some(rows) => {
                let write = |(number, row)| form.write(&mut bytes, row, !is_begun && number == 0);
                match rows.iter().enumerate().try_for_each(write) {
                    Ok(()) => Ok(Next::More),
                    Err(error) => Err(Problem::internal(&error)),
                }
            }
            None => {
                bytes.extend_from_slice(form.end());
                Ok(Next::Nothing)
            }
        });
        Some(match outcome {
            Ok(next) => (Ok(Bytes::from(bytes)), (form, source, next)),
            Err(problem) => (Err(problem), (form, source, Next::Nothing)),
        })
    })
}

/// Rows as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    Array,
    Lines,
}

impl JsonForm {
    /// As `Accept` asks for it; what it asks for otherwise is answered with an array.
    pub fn wanted(headers: &HeaderMap) -> Self {
        if accepts(headers, NDJSON) { Self::Lines } else { Self::Array }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Array => JSON,
            Self::Lines => NDJSON,
        }
    }
}

impl<Row: Serialize> Form<Row> for JsonForm {
    fn begin(&self) -> &[u8] {
        match self {
            Self::Array => b"[",
            Self::Lines => b"",
        }
    }

    fn write(&self, bytes: &mut Vec<u8>, row: &Row, is_first: bool) -> serde_json::Result<()> {
        if *self == Self::Array && !is_first {
            bytes.extend_from_slice(b",\n");
        }
        serde_json::to_writer(&mut *bytes, row)?;
        if *self == Self::Lines {
            bytes.push(b'\n');
        }
        Ok(())
    }

    fn end(&self) -> &[u8] {
        match self {
            Self::Array => b"]\n",
            Self::Lines => b"",
        }
    }
}

/// Whether `Accept` names a media type, as one that may come.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let is_named = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        is_it && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    };
    let mut values = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(is_named))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn lines_are_for_who_asks_for_them() {
        for (accept, form) in [
            ("application/x-ndjson", JsonForm::Lines),
            ("Application/X-NDJSON; q=0.5, text/html", JsonForm::Lines),
            ("application/json, application/x-ndjson", JsonForm::Lines),
            ("application/x-ndjson;q=0", JsonForm::Array),
            ("application/json", JsonForm::Array),
            ("*/*", JsonForm::Array),
            ("", JsonForm::Array),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(JsonForm::wanted(&headers), form, "{accept}");
        }
    }
}
