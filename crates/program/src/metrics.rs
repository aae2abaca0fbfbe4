//! The process's metrics, in the text format of Prometheus.

mod process;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Counter;
use prometheus::core::Collector;
pub use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec};
use prometheus::{HistogramOpts, Opts, TextEncoder};
use tokio::net::TcpListener;
use tracing::warn;

/// The media type of [`text`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of all timings, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];
/// How long a client may take for its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, as when no file descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

static BUILD: LazyLock<GaugeVec> =
    LazyLock::new(|| gauges("coatcheck_build_info", "1, with the version of the program", &["version"]));

/// Returns a counter without labels.
pub fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

/// Returns a counter with a series for each set of its labels' values.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// Returns a counter of fractions without labels.
fn sum(name: &str, help: &str) -> Counter {
    registered(Counter::new(name, help))
}

/// Returns a gauge without labels.
pub fn gauge(name: &str, help: &str) -> Gauge {
    registered(Gauge::new(name, help))
}

/// Returns a gauge with a series for each set of its labels' values.
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(GaugeVec::new(Opts::new(name, help), labels))
}

/// Returns a histogram of timings in seconds without labels.
pub fn timing(name: &str, help: &str) -> Histogram {
    registered(Histogram::with_opts(of_timings(name, help)))
}

/// Returns a histogram of timings in seconds, with a series for each set of its labels' values.
pub fn timings(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    registered(HistogramVec::new(of_timings(name, help), labels))
}

fn of_timings(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(BUCKETS.to_vec())
}

#[expect(
    clippy::expect_used,
    reason = "names and labels are constants; a wrong one shows at the first start"
)]
fn registered<M: Collector + Clone + 'static>(made: prometheus::Result<M>) -> M {
    let metric = made.expect("a valid name and valid labels");
    prometheus::register(Box::new(metric.clone())).expect("a name that is registered once");
    metric
}

/// Returns all metrics of the process that have a series, as [`MEDIA_TYPE`].
pub fn text() -> String {
    process::look();
    BUILD.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    let mut told = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&prometheus::gather(), &mut told) {
        warn!("metrics are left out: {error}");
    }
    told
}

/// Serves [`text`] at every path of that address, for a program without another HTTP server.
///
/// # Errors
/// If the address can't be bound.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        loop {
            let Ok((connection, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .serve_connection(TokioIo::new(connection), service_fn(answer));
            tokio::spawn(served);
        }
    });
    Ok(())
}

async fn answer<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from(text()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}
