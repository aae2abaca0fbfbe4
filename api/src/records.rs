//! `/api/data`: the access log over HTTP. Appends one line as JSON, or many lines ([`bulk`]); reads records ([`query`]) and counts them
//! ([`stats`]).

pub mod bulk;
pub mod counting;
pub mod query;
pub mod stats;
pub mod totals;

use std::collections::BTreeMap;

use access_log::record::{LogLine, Record, RecordId, StatusCode};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::{Value, json};
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::problem::{self, Code, Problem};

/// A request that someone served, as one line
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecord {
    /// `{IP} {METHOD} {URI} {STATUS}`, one space between: an IPv4 or IPv6 address, a token of RFC 9110 of at most 32
    /// characters, a URI of at most 8 KiB without spaces or control characters, a number from 100 to 599
    #[schema(example = "127.0.0.1 GET /index.html 200")]
    log: String,
}

/// A record of the access log
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Record, example = example)]
pub struct RecordView {
    /// A UUIDv4
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// When it was added, to the microsecond; never before the record ahead of it
    #[schema(value_type = String, format = DateTime)]
    created: Time,
    log: LogView,
}

impl From<Record> for RecordView {
    fn from(Record { id, created, log }: Record) -> Self {
        let (ip, method, uri, status_code) = log.into_parts();
        Self { id, created, log: LogView { ip, method, uri, status_code } }
    }
}

/// The reported request, each part as it was given
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Log)]
pub struct LogView {
    #[schema(example = "127.0.0.1")]
    ip: String,
    #[schema(example = "GET")]
    method: String,
    #[schema(example = "/index.html")]
    uri: String,
    #[schema(value_type = u16, example = 200, minimum = 100, maximum = 599)]
    status_code: StatusCode,
}

/// Add a record
///
/// The type of the body is not looked at: it is read as JSON.
#[utoipa::path(
    post, path = "/api/data", tag = "access log", operation_id = "addRecord",
    request_body(content = NewRecord, content_type = "application/json"),
    responses((status = 201, description = "Kept", body = RecordView), AddProblems),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = add(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn add(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let line = parse(&body.whole(request).await?).map_err(|reason| Code::InvalidLog.because(reason))?;
    api.admission.need_disk(0).await?;
    let record = api.access_log.append(line).await?;
    Ok(HttpResponse::Created().json(RecordView::from(record)))
}

/// Reads the line in `{"log": …}`; an error says what is wrong and where.
fn parse(json: &[u8]) -> Result<LogLine, String> {
    const FORM: &str = "an object with one text in it, `log`";
    // Derived code would accept an array for a struct.
    if json.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(format!("Expected {FORM}."));
    }
    let NewRecord { log } = serde_json::from_slice(json).map_err(|error| {
        let what = match error.classify() {
            Category::Data => format!("expected {FORM}"),
            Category::Syntax | Category::Eof | Category::Io => "it is not JSON".to_owned(),
        };
        format!("At line {}, column {}: {what}.", error.line(), error.column())
    })?;
    log.parse().map_err(|error| format!("`log`, {error}."))
}

/// A record, for OpenAPI.
pub fn example() -> Value {
    json!({
        "id": "7f3c2c4e-52a4-4f0e-9d5e-0c6f3b1a2d4e", "created": "2026-01-02T03:04:05.678901Z",
        "log": {"ip": "127.0.0.1", "method": "GET", "uri": "/index.html", "status_code": 200},
    })
}

struct AddProblems;

impl IntoResponses for AddProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::SlowUpload,
            Code::BodyTooLarge,
            Code::InvalidLog,
            Code::DatabaseUnavailable,
            Code::Overloaded,
            Code::InsufficientStorage,
        ])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_an_object_with_one_text() {
        let line = "1.1.1.1 GET /\u{e9} 200";
        for json in
            [r#"{"log":"1.1.1.1 GET /é 200"}"#, " \r\n\t{ \"log\" : \"1.1.1.1 GET /\\u00e9 200\" } \n"]
        {
            assert_eq!(parse(json.as_bytes()).map(|log| log.to_string()), Ok(line.to_owned()), "{json}");
        }
        let deep = format!("{{\"log\": {}", "[".repeat(100_000));
        for json in [
            "",
            " ",
            "{",
            "{}",
            "null",
            "5",
            "[]",
            r#"["1.1.1.1 GET / 200"]"#,
            r#""1.1.1.1 GET / 200""#,
            r#"{"log": 5}"#,
            r#"{"log": null}"#,
            r#"{"log": ["1.1.1.1 GET / 200"]}"#,
            r#"{"log": "1.1.1.1 GET / 200", "log": "1.1.1.1 GET / 200"}"#,
            r#"{"log": "1.1.1.1 GET / 200", "more": 1}"#,
            r#"{"Log": "1.1.1.1 GET / 200"}"#,
            r#"{"log": "1.1.1.1 GET / 200"} x"#,
            r#"{"log": "1.1.1.1 GET /\ud800 200"}"#,
            "\u{feff}{}",
            &deep,
        ] {
            assert!(parse(json.as_bytes()).is_err(), "{json}");
        }
        assert!(parse(b"{\"log\": \"1.1.1.1 GET /\xff 200\"}").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is() {
        let told = |json: &str| parse(json.as_bytes()).unwrap_err();

        assert_eq!(told(r#"{"log" 5}"#), "At line 1, column 8: it is not JSON.");
        assert_eq!(
            told(r#"{"log": "1.1.1.1 GET"}"#),
            "`log`, at character 12: expected a URI after the method."
        );
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(bytes in any::<Vec<u8>>(), text in "[{}\\[\\]\":,a-z0-9 ]{0,40}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
