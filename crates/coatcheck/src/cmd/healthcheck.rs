//! `coatcheck healthcheck`: tells whether a process on this machine can do its work, for a container without other programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use client::{Client, Readiness, StatusCode, URL};
use program::{address, complain, refuse, without_passwords};
use task_data::settings::positive_duration;

/// The metric with the age of a worker's lease.
const LEASE_AGE: &str = "coatcheck_lease_age_seconds";

/// Tell whether an API or a worker can do its work
///
/// It looks at the process that the same settings would start: with METRICS_LISTEN, as workers have it, at that worker;
/// without, at the API at LISTEN; with COATCHECK_URL, at the API or the stand-in for a provider there.
///
/// An API is healthy if its /readyz says that it is ready: its database and its disk take writes, and it is not stopping. A worker is healthy
/// if the database has confirmed its lease within LEASE_SECONDS: after that its tasks are given to others. A queue that is
/// away makes neither unhealthy, for both do without it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 it is healthy; 1 it is not, and one line says why; 2 a setting is wrong.

Examples:
  coatcheck healthcheck                          the API on this machine
  coatcheck healthcheck --url http://hasher:9000
  coatcheck healthcheck --url http://127.0.0.1:2197      the free stand-in
  METRICS_LISTEN=0.0.0.0:9001 coatcheck healthcheck      a worker so started")]
pub struct HealthcheckArgs {
    /// The API to look at, wherever it is: http:// or https://
    #[arg(long, env = "COATCHECK_URL", alias = "coatcheck-url", value_name = "COATCHECK_URL")]
    url: Option<String>,
    /// Where the worker on this machine tells its metrics
    #[arg(long, env, value_name = "METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// Where the API on this machine listens
    #[arg(long, env, value_name = "LISTEN", default_value = "127.0.0.1:9000", value_parser = address)]
    listen: SocketAddr,
    /// How old the last confirmation of a worker's lease may be
    #[arg(long, env, value_name = "LEASE_SECONDS", default_value = "30", value_parser = positive_duration)]
    lease_seconds: Duration,
}

/// Runs the command; returns its exit status.
pub async fn run(args: HealthcheckArgs) -> ExitCode {
    let worker = args.metrics_listen.filter(|_| args.url.is_none());
    let url = args.url.unwrap_or_else(|| format!("http://{}", reachable(worker.unwrap_or(args.listen))));
    let client = match Client::new(URL, &url, None) {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    let trouble = match worker {
        Some(_) => client.metrics().await.map(|said| worker_trouble(said, args.lease_seconds)),
        None => client.readiness().await.map(api_trouble),
    };
    match trouble {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(trouble)) => unhealthy(&format!("{}: {trouble}", without_passwords(&url))),
        Err(error) => unhealthy(&error.to_string()),
    }
}

/// Returns an address at which a program that listens on all addresses can be reached from this machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

fn api_trouble((status, ready): (StatusCode, Option<Readiness>)) -> Option<String> {
    if status.is_success() {
        return None;
    }
    let parts = ready.iter().flat_map(Readiness::parts);
    let away: Vec<&str> = parts.filter(|(_, state)| *state == "unavailable").map(|(part, _)| part).collect();
    Some(match ready.as_ref().map(|ready| &*ready.status) {
        Some("draining") => "the API is stopping".to_owned(),
        Some(_) if !away.is_empty() => format!("the API is not ready: {} unavailable", away.join(", ")),
        _ => format!("/readyz answers {status}"),
    })
}

fn worker_trouble((status, text): (StatusCode, String), lease: Duration) -> Option<String> {
    if !status.is_success() {
        return Some(format!("/metrics answers {status}"));
    }
    let age = text.lines().find_map(|line| line.strip_prefix(LEASE_AGE)?.trim().parse::<f64>().ok());
    match age {
        Some(age) if age <= lease.as_secs_f64() => None,
        Some(age) => {
            Some(format!("the worker's lease was last confirmed {age:.0} s ago: is its database away?"))
        }
        None => Some("the worker has begun no lease".to_owned()),
    }
}

fn unhealthy(why: &str) -> ExitCode {
    complain(why);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_healthy_while_its_lease_is_confirmed() {
        let trouble =
            |metrics: &str| worker_trouble((StatusCode::OK, metrics.to_owned()), Duration::from_secs(30));

        assert_eq!(trouble("# HELP x\ncoatcheck_lease_age_seconds 29.5\n"), None);
        assert!(trouble("coatcheck_lease_age_seconds 30.5\n").is_some());
        assert!(trouble("# TYPE coatcheck_lease_age_seconds gauge\n").is_some());
        assert!(trouble("").is_some());
    }

    #[test]
    fn who_listens_everywhere_is_reached_here() {
        for (listen, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
