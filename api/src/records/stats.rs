//! Statistics of the access log, for people.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses};

use crate::app::Api;
use crate::http::dates::Bound;
use crate::http::problem::{self, Code, Problem};
use crate::records::counting;
use crate::records::totals::RecordStats;

/// The time that is counted if the request names no beginning: counting a log of years would take long.
const DAY: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// The most minutes in an answer: as many as a day touches.
const MINUTES: i64 = 24 * 60 + 1;
/// The most URIs, and the most addresses, in an answer.
const TOP: i64 = 10;

/// The records to count
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

struct StatsProblems;

impl IntoResponses for StatsProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::InvalidParameter, Code::DatabaseUnavailable, Code::Overloaded])
    }
}
