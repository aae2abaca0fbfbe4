//! The process's metrics, in the text format of Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

const UPKEEP: Duration = Duration::from_secs(5);

/// Records metrics from now on. Returns the handle that reads them.
///
/// # Errors
/// If metrics are recorded already.
pub fn keep_metrics(buckets: &[f64]) -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().set_buckets(buckets)?.install_recorder()?;
    tokio::spawn({
        let handle = handle.clone();
        async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                // Samples pile up until they are sorted into their buckets.
                handle.run_upkeep();
            }
        }
    });
    Ok(handle)
}

/// Records metrics from now on, and serves them at that address, for a program without another HTTP server.
///
/// # Errors
/// If metrics are recorded already, or the address can't be bound.
pub fn serve_metrics(buckets: &[f64], address: SocketAddr) -> Result<(), BuildError> {
    PrometheusBuilder::new().set_buckets(buckets)?.with_http_listener(address).install()
}
