//! The stand-ins as a process: one of them, or all.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use program::{LogArgs, address, duration, refuse, taken_address};

use crate::control::{self, Control};
use crate::provider::Provider;
use crate::server::Server;

/// Run stand-ins for the outside services: a free provider, a paid one and a third party
///
/// Each serves its API at /docs and its counts at /stats, and can be told at /control to be slow or to fail. The free one accepts REQUESTS
/// requests; the last of them begins a block of BLOCK_SECONDS, after which the count starts again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  coatcheck providers                            all, on ports 2197 to 2199
  coatcheck providers free --requests 5 --block-seconds 10
  curl localhost:2197/process -d '{\"text\": \"Good morning\"}'
  curl localhost:2197/control -X PUT -d '{\"latency\": 2}'")]
pub struct ProvidersArgs {
    /// The stand-in to run; all three by default
    #[arg(value_enum)]
    provider: Option<Provider>,
    /// The address that the free provider listens on
    #[arg(long, env, value_name = "FREE_LISTEN", default_value = "127.0.0.1:2197", value_parser = address)]
    free_listen: SocketAddr,
    /// The address that the paid provider listens on
    #[arg(long, env, value_name = "PAID_LISTEN", default_value = "127.0.0.1:2198", value_parser = address)]
    paid_listen: SocketAddr,
    /// The address that the third party listens on
    #[arg(long, env, value_name = "THIRD_PARTY_LISTEN", default_value = "127.0.0.1:2199", value_parser = address)]
    third_party_listen: SocketAddr,
    /// Requests that the free provider accepts until it blocks
    #[arg(long, env, value_name = "REQUESTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// The length of the free provider's block
    #[arg(long, env, value_name = "BLOCK_SECONDS", default_value = "60", value_parser = block)]
    block_seconds: Duration,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal; returns the exit status.
pub async fn run(args: ProvidersArgs) -> ExitCode {
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };
    let mut servers = Vec::new();
    for provider in Provider::ALL {
        if args.provider.is_some_and(|only| only != provider) {
            continue;
        }
        let (listen, rule) = match provider {
            Provider::Free => (args.free_listen, Some((args.requests, args.block_seconds))),
            Provider::Paid => (args.paid_listen, None),
            Provider::ThirdParty => (args.third_party_listen, None),
        };
        match Server::bind(provider, Control::new(rule), listen) {
            Ok(server) => servers.push(server),
            Err(error) => return refuse(&taken_address(provider.listen_setting(), listen, &error)),
        }
    }
    if let Some(status) = servers.iter().find_map(|server| server.announce().err()) {
        return status;
    }
    join_all(servers.into_iter().map(|server| server.run(stop.cancelled()))).await;
    ExitCode::SUCCESS
}

fn block(text: &str) -> Result<Duration, String> {
    control::block(duration(text)?.as_secs_f64())
}
