//! Measures how 500 slow connections affect uploads beside them.

use std::time::{Duration, Instant};

use clap::value_parser;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Bench;
use crate::connection::request;
use crate::drive;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::service::{Service, Stack};

const SLOW: usize = 500;
const CLIENTS: usize = 8;
/// The interval at which each slow connection sends a byte.
const DRIP: Duration = Duration::from_millis(100);
/// The time before measuring starts, in which all connections are opened.
const WARM_UP: Duration = Duration::from_secs(2);

/// Measure uploads beside slow connections
#[derive(Debug, clap::Args)]
pub struct HostileArgs {
    /// How often each figure is taken
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How long uploads are sent each time
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
}

impl Default for HostileArgs {
    fn default() -> Self {
        Self { repeat: 5, seconds: 10 }
    }
}

/// Measures uploads beside slow connections, and writes the section.
///
/// # Errors
/// If an upload is rejected.
pub async fn run(bench: &Bench, args: &HostileArgs) -> Result<(), BenchError> {
    let (mut alone, mut beside) = (Figures::default(), Figures::default());
    for _ in 0..args.repeat {
        let service = Service::start(&bench.program, Stack::Embedded, &bench.servers).await?;
        alone.push(p99(&service.address, args.seconds).await?);
        let slow = slow_connections(&service.address);
        beside.push(p99(&service.address, args.seconds).await?);
        drop(slow);
    }
    let ratio = beside.by(&alone);
    eprintln!("slow connections: {} times the p99", ratio.told(2));
    let text = format!(
        "`PUT /api/v1/md5/…` of 1 KiB, one after the other by {CLIENTS} clients on kept connections for {} s, alone and then beside {SLOW} slow \
         connections on the same server (embedded): of each three one drips its headers, one a small body, one a large one, a byte each \
         {} ms; a client whose connection is closed connects again.\n\n\
         | uploads | p99, ms |\n|---|---|\n| alone | {} |\n| beside {SLOW} slow connections | {} |\n| **times** | {} |\n",
        args.seconds,
        DRIP.as_millis(),
        alone.told(2),
        beside.told(2),
        ratio.told(2)
    );
    bench.report.write("hostile: uploads beside slow connections", &text)
}

/// Returns the p99 of uploads in milliseconds.
async fn p99(address: &str, seconds: u64) -> Result<f64, BenchError> {
    let upload = request("PUT", "/api/v1/md5/upload", &"x".repeat(1024));
    let end = Instant::now() + WARM_UP + Duration::from_secs(seconds);
    let times = drive::paced(address, &upload, CLIENTS, WARM_UP, || Instant::now() >= end).await?;
    Ok(times.quantile(0.99))
}

/// Opens slow connections, which end when the return value is dropped.
fn slow_connections(address: &str) -> JoinSet<()> {
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let head = match number % 3 {
            0 => "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
            1 => "PUT /api/v1/md5/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n",
            _ => "PUT /api/v1/md5/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n",
        };
        let address = address.to_owned();
        slow.spawn(async move {
            loop {
                // A connection that was closed or refused is opened again.
                if let Ok(mut connection) = TcpStream::connect(&address).await
                    && connection.write_all(head.as_bytes()).await.is_ok()
                {
                    while connection.write_all(b"x").await.is_ok() {
                        sleep(DRIP).await;
                    }
                }
                sleep(DRIP).await;
            }
        });
    }
    slow
}
