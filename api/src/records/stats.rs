//! The access log by its numbers, for people.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::store::{Count, RecordCounts};
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::dates::Bound;
use crate::problem::{self, Code, Problem};
use crate::records::counting;
use crate::server::Api;

/// What is counted if no beginning is given: in a log of years, counting all would take long.
const DAY: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// Minutes that are told at most: those that a day touches.
const MINUTES: i64 = 24 * 60 + 1;
/// URIs and addresses that are told at most.
const TOP: i64 = 10;

/// What is counted
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatsParameters {
    /// Those created then or later, as for reading; a day before the end if it isn't said
    #[param(example = "2026-01-02T03:04:05Z")]
    date_from: Option<String>,
    /// Those created then or earlier; now if it isn't said
    #[param(example = "2099-12-31")]
    date_to: Option<String>,
}

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
    /// Of no record.
    #[cfg(test)]
    pub fn nothing() -> Self {
        let counts = RecordCounts { minutes: vec![], status_codes: vec![], uris: vec![], ips: vec![] };
        Self::new(Time(chrono::DateTime::UNIX_EPOCH), Time(chrono::DateTime::UNIX_EPOCH), counts)
    }

    fn new(date_from: Time, date_to: Time, counts: RecordCounts) -> Self {
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

/// Count records
///
/// By minute, by class of status, by URI and by address; those of the last day if nothing else is said. Where
/// counting takes long, numbers may be five seconds old; where it takes more than ten, the answer is 503: ask for a shorter time.
#[utoipa::path(
    get, path = "/api/data/stats", tag = "access log", operation_id = "countRecords", params(StatsParameters),
    responses((status = 200, description = "The numbers", body = RecordStats), StatsProblems),
)]
pub async fn get(api: Data<Api>, parameters: Query<StatsParameters>) -> Result<Json<RecordStats>, Problem> {
    let from = Bound::From.read("date_from", parameters.date_from.as_deref())?;
    let to = Bound::To.read("date_to", parameters.date_to.as_deref())?;
    let asked = (from, to);
    let to = match to {
        Some(to) => to,
        None => api.access_log.now().await?,
    };
    let from = from.unwrap_or(Time(to.0 - DAY));
    let count = {
        let api = api.clone();
        async move {
            match api.access_log.count(Some(from), Some(to), MINUTES, TOP).await {
                Ok(counts) => Ok(RecordStats::new(from, to, counts)),
                Err(error) if error.took_too_long() => Err(counting::too_long()),
                Err(error) => Err(error.into()),
            }
        }
    };
    Ok(Json(api.counting.counted(asked, count).await?))
}

/// For OpenAPI.
fn example() -> Value {
    json!({
        "date_from": "2026-01-01T12:00:00.000000Z", "date_to": "2026-01-02T12:00:00.000000Z", "requests": 3,
        "minutes": [{"minute": "2026-01-02T03:04:00.000000Z", "requests": 3}],
        "status_classes": [{"class": "2xx", "requests": 2}, {"class": "5xx", "requests": 1}],
        "uris": [{"uri": "/index.html", "requests": 3}],
        "ips": [{"ip": "127.0.0.1", "requests": 2}, {"ip": "::1", "requests": 1}],
    })
}

struct StatsProblems;

impl IntoResponses for StatsProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::InvalidParameter, Code::DatabaseUnavailable, Code::Overloaded])
    }
}
