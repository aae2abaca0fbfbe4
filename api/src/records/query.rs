//! Reads records: a walk along the log, [streamed](crate::http::streamed).

use std::collections::BTreeMap;

use access_log::record::{RecordId, StatusCode, check_method, check_uri};
use access_log::{Reader, RecordFilter, Selection};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses};

use crate::app::Api;
use crate::http::dates::Bound;
use crate::http::params::wrong;
use crate::http::problem::{self, Code, Problem};
use crate::http::streamed::{self, JsonFormat, RowSource};
use crate::records::{self, RecordView};

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
    #[param(example = "2099-12-31")]
    date_to: Option<String>,
    /// The most records to return, from 1 on; all if not given
    #[param(value_type = Option<i64>, minimum = 1)]
    limit: Option<String>,
    /// Only from this address, however it is written
    #[param(example = "127.0.0.1")]
    ip: Option<String>,
    /// Only with this method; upper and lower case differ
    #[param(example = "GET")]
    method: Option<String>,
    /// Only with this status, or with one of a class such as `5xx`
    #[param(example = "2xx", pattern = "^([1-5][0-9][0-9]|[1-5]xx)$")]
    status_code: Option<String>,
    /// Only with a URI that begins so
    #[param(example = "/index")]
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
        let ip = self.ip.map(|ip| ip.parse()).transpose();
        let ip = ip.map_err(|_| wrong("ip", "it is an IPv4 or IPv6 address, without a zone"))?;
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
        let mut filter = RecordFilter { ip, method: self.method, uri_prefix, ..RecordFilter::default() };
        if let Some(status_codes) = status_codes {
            filter.status_codes = status_codes;
        }
        Ok(Selection { after, from, to, filter, limit })
    }
}

/// Returns the statuses that `404` or `5xx` stands for.
fn status_codes(text: &str) -> Option<std::ops::RangeInclusive<StatusCode>> {
    match text.strip_suffix("xx") {
        Some(class) => StatusCode::of_class(class.parse().ok().filter(|_| class.len() == 1)?),
        None => text.parse().ok().map(|code| code..=code),
    }
}

/// Read records, oldest first
///
/// In the order in which they were committed: a client that polls with the last `id` it received gets every record exactly once. The answer
/// has all records that exist when the request comes; with `Accept: application/x-ndjson` it has one record a line. A stream that is cut
/// off lacks its end: the `]` and the last chunk of HTTP.
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
    let reader = api.access_log.read(selection).await?;
    let format = JsonFormat::wanted(&request);
    streamed::answer(&request, &api.record_answers, format.media_type(), format, reader).await
}

impl RowSource for Reader {
    type Row = RecordView;

    async fn chunk(&mut self) -> Result<Option<Vec<RecordView>>, Problem> {
        let records = Reader::chunk(self).await?;
        Ok(records.map(|records| records.into_iter().map(RecordView::from).collect()))
    }
}

struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidId, InvalidParameter};
        use Code::{Overloaded, RecordExpired, RecordNotFound};
        let of_records = [RecordNotFound, RecordExpired];
        let others = [InvalidId, InvalidParameter, DatabaseUnavailable, Overloaded];
        problem::responses(&[&of_records[..], &others].concat())
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!((all.filter.ip, all.filter.method.as_deref()), ("::1".parse().ok(), Some("get")));
        assert_eq!((all.filter.uri_prefix.as_str(), all.limit), ("/é", Some(5)));
        assert_eq!(selection("uri=").unwrap(), Selection::default());
    }
}
