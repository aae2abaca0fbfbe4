//! Records out: a walk along the log that holds a chunk of it at a time.
//!
//! The next chunk is read when the client has taken the one before. A failure on the way ends the connection without the
//! body's end, so that no one takes a part for the whole.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, VARY};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, stream};
use serde::Deserialize;
use task_data::access_log::{Reader, Selection};
use task_data::record::{Record, RecordId, StatusCode, check_ip, check_method, check_uri};
use task_data::store::RecordFilter;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses};

use crate::dates::Bound;
use crate::problem::{self, Code, Problem};
use crate::records::{self, RecordView};
use crate::server::Api;
use crate::tasks::wrong;

/// The media type of a record a line.
pub const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// Which records are wanted; what is given must all hold
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordParameters {
    /// Only those that were added after the record of this id
    #[param(value_type = Option<uuid::Uuid>)]
    id: Option<String>,
    /// Only those created then or later: RFC 3339, or a date alone, which begins at midnight UTC
    #[param(example = "2026-01-02T03:04:05Z")]
    date_from: Option<String>,
    /// Only those created then or earlier: RFC 3339, or a date alone, of which the whole day is meant, in UTC
    #[param(example = "2026-01-02")]
    date_to: Option<String>,
    /// At most so many, from 1 on; all if it isn't said
    #[param(value_type = Option<i64>, minimum = 1)]
    limit: Option<String>,
    /// Only from this address, written as it was given
    #[param(example = "127.0.0.1")]
    ip: Option<String>,
    /// Only with this method; upper and lower case differ
    #[param(example = "GET")]
    method: Option<String>,
    /// Only with this status, or with one of a class such as `5xx`
    #[param(example = "5xx", pattern = "^([1-5][0-9][0-9]|[1-5]xx)$")]
    status_code: Option<String>,
    /// Only with a URI that begins so
    #[param(example = "/api/")]
    uri: Option<String>,
}

impl RecordParameters {
    fn selection(self) -> Result<Selection, Problem> {
        let after = self.id.as_deref().map(str::parse::<RecordId>).transpose();
        let after = after.map_err(|_| Code::InvalidId.because("An id is a UUID of 36 characters."))?;
        let from = Bound::From.read("date_from", self.date_from.as_deref())?;
        let to = Bound::To.read("date_to", self.date_to.as_deref())?;
        let limit = self.limit.map(|limit| limit.parse().ok().filter(|limit| *limit > 0).ok_or(limit));
        let limit = limit.transpose().map_err(|_| wrong("limit", "it is a number from 1 on"))?;
        if let Some(ip) = &self.ip {
            check_ip(ip).map_err(|_| wrong("ip", "it is an IPv4 or IPv6 address, without a zone"))?;
        }
        if let Some(method) = &self.method {
            check_method(method).map_err(|reason| wrong("method", reason))?;
        }
        let uri_prefix = self.uri.unwrap_or_default();
        if !uri_prefix.is_empty() {
            check_uri(&uri_prefix).map_err(|(_, reason)| wrong("uri", reason))?;
        }
        let status_codes = self.status_code.map(|text| status_codes(&text).ok_or(text)).transpose();
        let status_codes = status_codes
            .map_err(|_| wrong("status_code", "it is a number from 100 to 599, or 1xx to 5xx"))?;
        let mut filter =
            RecordFilter { ip: self.ip, method: self.method, uri_prefix, ..RecordFilter::default() };
        if let Some(status_codes) = status_codes {
            filter.status_codes = status_codes;
        }
        Ok(Selection { after, from, to, filter, limit })
    }
}

/// The statuses that `404` or `5xx` stands for.
fn status_codes(text: &str) -> Option<std::ops::RangeInclusive<StatusCode>> {
    match text.strip_suffix("xx") {
        Some(class) => StatusCode::of_class(class.parse().ok().filter(|_| class.len() == 1)?),
        None => text.parse().ok().map(|code| code..=code),
    }
}

/// Read records, oldest first
///
/// In the order in which they were committed: who asks again with the last `id` that he saw misses none and sees none twice.
/// All that were there when he asked; with `Accept: application/x-ndjson` a record a line. A stream that is cut off has no
/// end: neither `]` nor the last chunk of HTTP.
#[utoipa::path(
    get, path = "/api/data", tag = "access log", operation_id = "readRecords", params(RecordParameters),
    responses(
        (status = 200, description = "Records", content(
            (Vec<RecordView> = "application/json", example = json!([records::example()])),
            (RecordView = "application/x-ndjson"),
        )),
        ReadProblems,
    ),
)]
pub async fn get(
    api: Data<Api>,
    request: HttpRequest,
    parameters: Query<RecordParameters>,
) -> Result<HttpResponse, Problem> {
    let selection = parameters.into_inner().selection()?;
    let mut reader = api.access_log.read(selection).await?.ok_or(Code::RecordNotFound)?;
    let form = Form::wanted(request.headers());
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, form.media_type())).insert_header((VARY, ACCEPT.as_str()));
    if request.method() == Method::HEAD {
        // Nobody would see what all the reading is for.
        return Ok(response.streaming(stream::empty::<Result<Bytes, Problem>>()));
    }
    // The first chunk before the status: what fails at once is told in the usual way.
    let first = reader.chunk().await?;
    Ok(response.streaming(written(form, reader, first)))
}

/// How records are written one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Lines,
}

impl Form {
    /// As `Accept` asks for it; what it asks for otherwise is answered with an array.
    fn wanted(headers: &HeaderMap) -> Self {
        let wants_lines = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_lines = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(NDJSON));
            is_lines && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        let mut values = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        if values.any(|value| value.split(',').any(wants_lines)) { Self::Lines } else { Self::Array }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Array => JSON,
            Self::Lines => NDJSON,
        }
    }

    const fn begin(self) -> &'static [u8] {
        match self {
            Self::Array => b"[",
            Self::Lines => b"",
        }
    }

    /// Before a record that isn't the first, and after each.
    const fn around(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Array => (b",\n", b""),
            Self::Lines => (b"", b"\n"),
        }
    }

    const fn end(self) -> &'static [u8] {
        match self {
            Self::Array => b"]\n",
            Self::Lines => b"",
        }
    }

    fn write(self, bytes: &mut Vec<u8>, records: &[Record], is_begun: bool) -> serde_json::Result<()> {
        let (before, after) = self.around();
        for (number, record) in records.iter().enumerate() {
            if is_begun || number > 0 {
                bytes.extend_from_slice(before);
            }
            serde_json::to_writer(&mut *bytes, record)?;
            bytes.extend_from_slice(after);
        }
        Ok(())
    }
}

/// Where a body stands.
enum Next {
    /// Nothing of it was given.
    First(Option<Vec<Record>>),
    More,
    /// All of it was given, or it broke off.
    Nothing,
}

fn written(
    form: Form,
    reader: Reader,
    first: Option<Vec<Record>>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold((reader, Next::First(first)), move |(mut reader, next)| async move {
        let (chunk, is_begun) = match next {
            Next::First(first) => (Ok(first), false),
            Next::More => (reader.chunk().await, true),
            Next::Nothing => return None,
        };
        let mut bytes = if is_begun { Vec::new() } else { form.begin().to_vec() };
        let outcome = chunk.map_err(Problem::from).and_then(|chunk| match chunk {
            Some(records) => match form.write(&mut bytes, &records, is_begun) {
                Ok(()) => Ok(Next::More),
                Err(error) => Err(Problem::internal(&error)),
            },
            None => {
                bytes.extend_from_slice(form.end());
                Ok(Next::Nothing)
            }
        });
        Some(match outcome {
            Ok(next) => (Ok(Bytes::from(bytes)), (reader, next)),
            Err(problem) => (Err(problem), (reader, Next::Nothing)),
        })
    })
}

struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidId, InvalidParameter, RecordNotFound};
        problem::responses(&[InvalidId, InvalidParameter, RecordNotFound, DatabaseUnavailable])
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn selection(query: &str) -> Result<Selection, Problem> {
        Query::<RecordParameters>::from_query(query).unwrap().into_inner().selection()
    }

    #[test]
    fn each_parameter_that_is_wrong_is_refused() {
        for query in [
            "id=",
            "id=abc",
            "date_from=",
            "date_from=yesterday",
            "date_to=2026-02-30",
            "limit=0",
            "limit=-1",
            "limit=",
            "limit=1e3",
            "limit=99999999999999999999",
            "ip=",
            "ip=999.1.1.1",
            "ip=fe80::1%25eth0",
            "method=",
            "method=G%20T",
            "status_code=",
            "status_code=99",
            "status_code=600",
            "status_code=6xx",
            "status_code=xx",
            "status_code=%2B5xx",
            "status_code=55xx",
            "status_code=4XX",
            "uri=%00",
            "uri=/a%20b",
        ] {
            assert!(selection(query).is_err(), "{query}");
        }
    }

    #[test]
    fn parameters_say_what_is_wanted() {
        let codes = |query| selection(query).unwrap().filter.status_codes;
        let code = |text: &str| text.parse::<StatusCode>().unwrap();

        assert_eq!(selection("").unwrap(), Selection::default());
        assert_eq!(codes("status_code=404"), code("404")..=code("404"));
        assert_eq!(codes("status_code=5xx"), code("500")..=code("599"));
        let all = selection("ip=::1&method=get&uri=/%C3%A9&limit=5").unwrap();
        assert_eq!((all.filter.ip.as_deref(), all.filter.method.as_deref()), (Some("::1"), Some("get")));
        assert_eq!((all.filter.uri_prefix.as_str(), all.limit), ("/é", Some(5)));
        assert_eq!(selection("uri=").unwrap(), Selection::default());
    }

    #[test]
    fn lines_are_for_who_asks_for_them() {
        for (accept, form) in [
            ("application/x-ndjson", Form::Lines),
            ("Application/X-NDJSON; q=0.5, text/html", Form::Lines),
            ("application/json, application/x-ndjson", Form::Lines),
            ("application/x-ndjson;q=0", Form::Array),
            ("application/json", Form::Array),
            ("*/*", Form::Array),
            ("", Form::Array),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Form::wanted(&headers), form, "{accept}");
        }
    }
}
