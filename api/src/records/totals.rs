//! Statistics of the access log, as they are answered.

use std::collections::BTreeMap;

use access_log::{Count, RecordCounts};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::task::Time;
use utoipa::ToSchema;

/// The access log by its numbers
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = example)]
pub struct RecordStats {
    /// From when on was counted
    #[schema(value_type = String, format = DateTime)]
    date_from: Time,
    /// Up to when
    #[schema(value_type = String, format = DateTime)]
    date_to: Time,
    /// How many records there are
    requests: i64,
    /// Minutes that have any, oldest first: the last 1441 of them
    minutes: Vec<MinuteCount>,
    /// The classes of statuses that there are
    status_classes: Vec<ClassCount>,
    /// The ten most frequent, most frequent first
    uris: Vec<UriCount>,
    /// The ten most frequent, most frequent first
    ips: Vec<IpCount>,
}

/// A minute's records
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MinuteCount {
    /// Its beginning
    #[schema(value_type = String, format = DateTime)]
    minute: Time,
    requests: i64,
}

/// A status class's records
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClassCount {
    #[schema(example = "2xx")]
    class: String,
    requests: i64,
}

/// A URI's records
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UriCount {
    uri: String,
    requests: i64,
}

/// An address's records
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct IpCount {
    ip: String,
    requests: i64,
}

impl RecordStats {
    /// Returns the statistics of no records.
    #[cfg(test)]
    pub fn nothing() -> Self {
        let counts = RecordCounts { minutes: vec![], status_codes: vec![], uris: vec![], ips: vec![] };
        Self::new(Time(chrono::DateTime::UNIX_EPOCH), Time(chrono::DateTime::UNIX_EPOCH), counts)
    }

    /// Returns the statistics of records that were counted between two times.
    pub fn new(date_from: Time, date_to: Time, counts: RecordCounts) -> Self {
        let RecordCounts { minutes, status_codes, uris, ips } = counts;
        let mut classes = BTreeMap::new();
        for Count { of, requests } in &status_codes {
            *classes.entry(of.class()).or_default() += requests;
        }
        let status_classes =
            classes.into_iter().map(|(class, requests)| ClassCount { class: format!("{class}xx"), requests });
        Self {
            date_from,
            date_to,
            requests: status_codes.iter().map(|count| count.requests).sum(),
            minutes: minutes
                .into_iter()
                .rev()
                .map(|Count { of, requests }| MinuteCount { minute: of, requests })
                .collect(),
            status_classes: status_classes.collect(),
            uris: uris.into_iter().map(|Count { of, requests }| UriCount { uri: of, requests }).collect(),
            ips: ips.into_iter().map(|Count { of, requests }| IpCount { ip: of, requests }).collect(),
        }
    }
}

/// Returns an example, for OpenAPI.
fn example() -> Value {
    json!({
        "date_from": "2026-01-01T12:00:00.000000Z", "date_to": "2026-01-02T12:00:00.000000Z", "requests": 3,
        "minutes": [{"minute": "2026-01-02T03:04:00.000000Z", "requests": 3}],
        "status_classes": [{"class": "2xx", "requests": 2}, {"class": "5xx", "requests": 1}],
        "uris": [{"uri": "/index.html", "requests": 3}],
        "ips": [{"ip": "127.0.0.1", "requests": 2}, {"ip": "::1", "requests": 1}],
    })
}
