//! Statistics of tasks over time.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::life::Point;
use task_data::store::Histogram;
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::dates::Bound;
use crate::http::params::wrong;
use crate::http::problem::{self, Code, Problem};

/// The shortest step, in seconds.
const MINUTE: i64 = 60;
/// The longest step, in seconds.
const DAY: i64 = 86_400;
/// The most steps of an answer to a request that names no beginning.
const STEPS: i64 = 60;
/// The most steps of an answer; each has up to a point for each kind.
const MOST_STEPS: i64 = 3360;
/// The longest time that an answer covers: 31 days.
const LONGEST: i64 = 31 * DAY;

/// The time to count
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatsParameters {
    /// The beginning; 60 steps before the end if it isn't said, or 31 days. The step that it is in is counted whole
    #[param(example = "2026-01-02T03:00:00Z")]
    from: Option<String>,
    /// The end; now if it isn't said
    #[param(example = "2026-01-02T04:00:00Z")]
    to: Option<String>,
    /// The length of a step in seconds: a multiple of 60, up to 86400; 60 if it isn't said
    #[param(example = "60")]
    step: Option<String>,
}

/// The tasks of a kind in a step
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsPoint {
    /// The step's beginning
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// The kind
    kind: String,
    /// The number of tasks accepted then, whether they have ended or not
    accepted: i64,
    /// The number of tasks that succeeded then
    succeeded: i64,
    /// The number of tasks that failed then
    failed: i64,
    /// The number of tasks that were cancelled then
    cancelled: i64,
    /// Half of those that succeeded or failed then had waited up to that many seconds for their last attempt to begin; this and the next
    /// three are exact to a tenth, and null if no task succeeded or failed then
    #[schema(required)]
    wait_p50: Option<f64>,
    /// 95 in 100 had waited up to that long
    #[schema(required)]
    wait_p95: Option<f64>,
    /// The last attempts of half of them took up to that many seconds; 0 for small uploads, which are done as they are begun
    #[schema(required)]
    work_p50: Option<f64>,
    /// Those of 95 in 100 took up to that long
    #[schema(required)]
    work_p95: Option<f64>,
}

/// Numbers of tasks over time
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = example)]
pub struct TaskStats {
    /// By time and kind; a step without tasks of a kind has no point
    series: Vec<StatsPoint>,
}

impl From<Point> for StatsPoint {
    fn from(Point { at, kind, counts }: Point) -> Self {
        let seconds = |histogram: &Histogram, part| histogram.quantile(part).map(rounded);
        Self {
            at,
            kind,
            accepted: counts.accepted,
            succeeded: counts.succeeded,
            failed: counts.failed,
            cancelled: counts.cancelled,
            wait_p50: seconds(&counts.waits, 0.5),
            wait_p95: seconds(&counts.waits, 0.95),
            work_p50: seconds(&counts.works, 0.5),
            work_p95: seconds(&counts.works, 0.95),
        }
    }
}

/// Returns seconds with six decimals at most.
fn rounded(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

/// Count tasks over time
///
/// By step and kind; the last hour by minute if nothing else is said. At most 3,360 steps and 31 days. Each task is counted once where it
/// was accepted and once where it ended; the numbers of the last seconds may still grow.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "operators", operation_id = "countTasks", params(StatsParameters),
    responses((status = 200, description = "The numbers", body = TaskStats), StatsProblems),
)]
pub async fn get(api: Data<Api>, parameters: Query<StatsParameters>) -> Result<Json<TaskStats>, Problem> {
    let now = match parameters.to {
        Some(_) => None,
        None => Some(api.store.now().await?),
    };
    let (from, to, step) = parameters.read(now)?;
    let points = api.life.stats(from, to, step).await?;
    Ok(Json(TaskStats { series: points.into_iter().map(StatsPoint::from).collect() }))
}

impl StatsParameters {
    /// Returns the beginning of the first step, the end of the last one, and the length of a step in seconds.
    fn read(&self, now: Option<Time>) -> Result<(Time, Time, i64), Problem> {
        let step = self.step.as_deref().map_or(Ok(MINUTE), str::parse).ok();
        let step = step.filter(|step| (MINUTE..=DAY).contains(step) && step % MINUTE == 0);
        let step = step.ok_or_else(|| wrong("step", "it is a multiple of 60 seconds, up to 86400"))?;
        let to = Bound::To.read("to", self.to.as_deref())?.or(now);
        let to = to.ok_or_else(|| wrong("to", "it is missing"))?;
        let from = Bound::From.read("from", self.from.as_deref())?;
        let last = to.0.timestamp().div_euclid(step);
        let first =
            from.map_or(last - STEPS.min(LONGEST / step) + 1, |from| from.0.timestamp().div_euclid(step));
        let (steps, seconds) = (last - first + 1, (last - first + 1).saturating_mul(step));
        if steps < 1 {
            return Err(wrong("from", "it is not later than `to`"));
        }
        if steps > MOST_STEPS || seconds > LONGEST + step {
            return Err(wrong("from", format!("it is at most {MOST_STEPS} steps and 31 days before `to`")));
        }
        let begins = |span: i64| task_data::store::span_begins(span, step);
        let span = begins(first).zip(begins(last + 1));
        let (from, to) = span.ok_or_else(|| wrong("to", "it is out of range"))?;
        Ok((from, to, step))
    }
}

struct StatsProblems;

impl IntoResponses for StatsProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::InvalidParameter, Code::DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({"series": [{
        "at": "2026-01-02T03:04:00.000000Z", "kind": "md5", "accepted": 17, "succeeded": 16, "failed": 1, "cancelled": 0,
        "wait_p50": 0.0021, "wait_p95": 0.0104, "work_p50": 0.0, "work_p95": 0.38,
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(String, String, i64), Problem> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let (from, to, step) = Query::<StatsParameters>::from_query(query).unwrap().read(Some(Time(now)))?;
        Ok((from.to_string(), to.to_string(), step))
    }

    #[test]
    fn the_last_hour_by_minute_is_counted_unless_the_request_says_otherwise() {
        for (query, from, to, step) in [
            ("", "2026-01-02T02:05", "2026-01-02T03:05", 60),
            ("step=3600", "2025-12-30T16:00", "2026-01-02T04:00", 3600),
            ("step=86400", "2025-12-03T00:00", "2026-01-03T00:00", 86400),
            ("from=2026-01-02T03:00:59Z", "2026-01-02T03:00", "2026-01-02T03:05", 60),
            ("from=2026-01-01&to=2026-01-01&step=86400", "2026-01-01T00:00", "2026-01-02T00:00", 86400),
        ] {
            let minute = |time: &str| format!("{time}:00.000000Z");
            assert_eq!(read(query).unwrap(), (minute(from), minute(to), step), "{query}");
        }
    }

    #[test]
    fn a_time_that_is_too_long_or_runs_backwards_is_refused() {
        for query in [
            "step=0",
            "step=61",
            "step=-60",
            "step=86460",
            "step=a",
            "from=a",
            "to=a",
            "from=2026-01-02T03:05:00Z",
            "from=2025-12-30",
            "from=2025-12-01&step=3600",
            "from=0001-01-01&step=86400",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
        assert!(read("from=2025-12-03&step=3600").is_ok());
    }
}
