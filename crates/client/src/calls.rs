//! The calls of the API that the client makes, as the API's description has them.

use std::fmt::Debug;
use std::marker::PhantomData;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::answers::{Added, AsSent, Description, OutcomeList, Readiness, Record, Task, TaskList};
use crate::operators::{
    ActList, AttemptList, BulkCount, KindList, KindPause, Stats, WorkerDrain, WorkerList,
};

/// Characters to escape in a path segment: all but RFC 3986's unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A call whose answer is a `T`.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub method: Method,
    path: &'static str,
    parameters: &'static [&'static str],
    answer: PhantomData<fn() -> T>,
}

/// A call, for a check against the API's description.
#[derive(Debug)]
pub struct Described {
    /// Its method.
    pub method: Method,
    /// Its path, with a `{name}` for each part that the request fills in.
    pub path: &'static str,
    /// The parameters that the request may have in its query or headers.
    pub parameters: &'static [&'static str],
    /// Reads an answer in JSON as the client does; returns what it has read, for people.
    pub read: fn(&str) -> serde_json::Result<String>,
}

macro_rules! calls {
    ($($name:ident: $method:ident $path:literal $parameters:expr => $answer:ty;)+) => {
        $(pub(crate) const $name: Call<$answer> =
            Call { method: Method::$method, path: $path, parameters: &$parameters, answer: PhantomData };)+

        /// Every call.
        pub const ALL: &[Described] = &[$(Described {
            method: $name.method,
            path: $name.path,
            parameters: $name.parameters,
            read: |json| serde_json::from_str::<$answer>(json).map(|answer| debug(&answer)),
        }),+];
    };
}

calls! {
    PUT_FILE: PUT "/api/v1/md5/{id}" [IDEMPOTENCY_KEY] => AsSent<Task>;
    TASKS: GET "/api/v1/tasks" [
        "after", "created_after", "error_code", "filename", "kind", "limit", "order", "status", "total", "worker",
    ] => TaskList;
    TASK: GET "/api/v1/tasks/{id}" ["wait"] => AsSent<Task>;
    CANCEL: DELETE "/api/v1/tasks/{id}" [] => AsSent<Task>;
    RETRY: POST "/api/v1/tasks/{id}/retry" [IDEMPOTENCY_KEY] => AsSent<Task>;
    ATTEMPTS: GET "/api/v1/tasks/{id}/attempts" [] => AttemptList;
    BULK: POST "/api/v1/tasks/bulk" [] => BulkCount;
    FOLLOW: GET "/api/v1/tasks/{id}/events" [] => AsSent<Task>;
    TABLE: GET "/api/v1/tables/{id}" [] => AsSent<Task>;
    OUTCOMES: GET "/api/v1/outcomes" ["after", "limit", "wait"] => OutcomeList;
    KINDS: GET "/api/v1/kinds" [] => KindList;
    PAUSE: PUT "/api/v1/kinds/{kind}/pause" [] => KindPause;
    RESUME: DELETE "/api/v1/kinds/{kind}/pause" [] => KindPause;
    STATS: GET "/api/v1/stats" ["step"] => Stats;
    WORKERS: GET "/api/v1/workers" [] => WorkerList;
    DRAIN: PUT "/api/v1/workers/{id}/drain" [] => WorkerDrain;
    UNDO_DRAIN: DELETE "/api/v1/workers/{id}/drain" [] => WorkerDrain;
    AUDIT: GET "/api/v1/audit" ["limit"] => ActList;
    ADD_RECORD: POST "/api/data" [] => Added;
    RECORDS: GET "/api/data" ["id", "limit"] => Record<'_>;
    READINESS: GET "/readyz" [] => Readiness;
    DESCRIPTION: GET "/openapi.json" [] => Description;
    METRICS: GET "/metrics" [] => Value;
}

/// The header with a client's name for an upload.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

fn debug(answer: &impl Debug) -> String {
    format!("{answer:#?}")
}

impl<T> Call<T> {
    /// Returns the call's address at that server.
    pub fn url(&self, base: &Url, segments: &[&str], parameters: &[(&str, &str)]) -> Url {
        let mut path = String::new();
        let mut given = segments.iter();
        for segment in self.path.split('/').skip(1) {
            path.push('/');
            match segment.starts_with('{') {
                true => {
                    given.next().into_iter().for_each(|text| path.extend(utf8_percent_encode(text, SEGMENT)))
                }
                false => path.push_str(segment),
            }
        }
        debug_assert!(parameters.iter().all(|(name, _)| self.parameters.contains(name)), "{parameters:?}");
        let mut url = base.clone();
        url.set_path(&path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }
}

/// Returns the parameters that have a value.
pub(crate) fn parameters<'a, const N: usize>(
    given: [(&'a str, Option<&'a str>); N],
) -> Vec<(&'a str, &'a str)> {
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_one_segment_of_the_path() {
        let server = Url::parse("http://127.0.0.1:9000/").unwrap();

        let url = PUT_FILE.url(&server, &["a/b\\c?d#e%2e é\n"], &[]);

        assert_eq!(url.as_str(), "http://127.0.0.1:9000/api/v1/md5/a%2Fb%5Cc%3Fd%23e%252e%20%C3%A9%0A");
    }

    #[test]
    fn parameters_are_escaped() {
        let server = Url::parse("https://h").unwrap();

        let url = TASKS.url(&server, &[], &[("limit", "1"), ("after", "a&b=c")]);

        assert_eq!(url.as_str(), "https://h/api/v1/tasks?limit=1&after=a%26b%3Dc");
    }
}
