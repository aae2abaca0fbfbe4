//! How long a request is willing to wait for a task to end: `?wait=S`, or `Prefer: wait=S` (RFC 7240).

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::http::params::{unreadable, wrong};
use crate::http::problem::Problem;

/// The longest that a request waits for a task.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long a request is willing to wait for a task to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

#[derive(Deserialize)]
struct WaitParameter {
    wait: Option<String>,
}

impl FromRequest for Wait {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request.query_string(), request.headers()))
    }
}

impl Wait {
    /// Waits not at all: the answer is the task's present state.
    pub const NONE: Self = Self(Duration::ZERO);

    fn of(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let Query(WaitParameter { wait }) = Query::from_query(query).map_err(unreadable)?;
        let asked = match wait {
            Some(text) => seconds(&text).filter(|wait| *wait <= MAX_WAIT).ok_or_else(|| {
                wrong("wait", format!("it is a number of seconds from 0 to {}", MAX_WAIT.as_secs()))
            })?,
            None => preferred(headers),
        };
        Ok(Self(asked))
    }
}

impl IntoParams for Wait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .maximum(Some(MAX_WAIT.as_secs() as f64))
            .build();
        let wait = ParameterBuilder::new()
            .name("wait")
            .parameter_in(ParameterIn::Query)
            .description(Some("Seconds to wait for the task to end, or for an outcome"))
            .schema(Some(seconds));
        let prefer = ParameterBuilder::new()
            .name("Prefer")
            .parameter_in(ParameterIn::Header)
            .description(Some("`wait=S` (RFC 7240), the same as the parameter"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        vec![wait.build(), prefer.build()]
    }
}

/// Reads `Prefer: wait=10` (RFC 7240). A preference that can't be read or met is ignored.
fn preferred(headers: &HeaderMap) -> Duration {
    headers
        .get_all(HeaderName::from_static("prefer"))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| seconds(value.trim().trim_matches('"')))
        .unwrap_or_default()
        .min(MAX_WAIT)
}

/// Reads digits with decimals and nothing else: no sign, no exponent, no `inf`.
fn seconds(text: &str) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain
        .then(|| text.parse().ok())
        .flatten()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn wait_of(query: &str, prefer: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_str(prefer).unwrap());
        Wait::of(query, &headers).ok().map(|wait| wait.0)
    }

    #[test]
    fn a_wait_is_between_0_and_60_seconds() {
        for (query, milliseconds) in [("", 0), ("wait=0", 0), ("wait=0.25", 250), ("wait=60", 60_000)] {
            assert_eq!(wait_of(query, ""), Some(Duration::from_millis(milliseconds)), "{query}");
        }
        for wait in ["", "-1", "60.001", "1e1", "NaN", "inf", "abc", "1s", "+1", ".", "1.2.3", "%20"] {
            assert_eq!(wait_of(&format!("wait={wait}"), ""), None, "{wait}");
        }
        assert_eq!(wait_of("wait=1&wait=2", ""), None);
    }

    #[test]
    fn a_preference_is_met_as_far_as_it_can_be() {
        for (prefer, seconds) in [
            ("wait=10", 10),
            ("respond-async, Wait = 5", 5),
            ("wait=100", 60),
            ("wait=soon", 0),
            ("waiting=3", 0),
            ("wait", 0),
        ] {
            assert_eq!(wait_of("", prefer), Some(Duration::from_secs(seconds)), "{prefer}");
        }
        assert_eq!(wait_of("wait=1", "wait=10"), Some(Duration::from_secs(1)));
    }
}
