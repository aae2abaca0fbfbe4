//! Measures one line for each request, from many clients at once, compared with FastAPI and SQLAlchemy.

use std::time::{Duration, Instant};

use fastrand::Rng;
use futures::future::try_join_all;

use super::RecordsArgs;
use super::peer::Peer;
use crate::Bench;
use crate::connection::{Connection, request};
use crate::error::BenchError;
use crate::figures::{Figures, per_second};
use crate::lines;
use crate::process::Process;
use crate::service::Service;

const CLIENTS: usize = 64;
/// The number of requests that are prepared and sent over and over.
const REQUESTS: usize = 1000;
/// The time before measuring starts, in which connections are opened and pools are filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// The figures of one server.
#[derive(Debug, Default)]
struct Server {
    a_second: Figures,
    cpu_millis: Figures,
}

/// Measures both servers on each stack, and writes the section.
///
/// # Errors
/// If a line is not kept.
pub async fn run(bench: &Bench, args: &RecordsArgs) -> Result<(), BenchError> {
    let mut table = "\
| stack | server | requests/s | ms of the server's CPU a request |\n|---|---|---|---|\n"
        .to_owned();
    for stack in args.stacks() {
        let (mut coatcheck, mut peer) = (Server::default(), Server::default());
        for _ in 0..args.repeat {
            let service = Service::start(&bench.program, stack, &bench.servers).await?;
            let a_second = coatcheck.measure(&service.process, &service.address, args).await?;
            eprintln!("single posts, {stack}: Coatcheck {a_second:.0} requests/s");
            drop(service);
            let other = Peer::start(bench, stack).await?;
            let a_second = peer.measure(&other.process, &other.address, args).await?;
            eprintln!("single posts, {stack}: FastAPI {a_second:.0} requests/s");
        }
        for (name, server) in [("Coatcheck", &coatcheck), ("FastAPI, SQLAlchemy", &peer)] {
            let (a_second, cpu_millis) = (server.a_second.told(0), server.cpu_millis.told(3));
            table += &format!("| {stack} | {name} | {a_second} | {cpu_millis} |\n");
        }
        let (faster, cheaper) =
            (coatcheck.a_second.by(&peer.a_second), peer.cpu_millis.by(&coatcheck.cpu_millis));
        let (faster, cheaper) = (faster.told(1), cheaper.told(1));
        table += &format!("| {stack} | **times better** | {faster} | {cheaper} |\n");
    }
    let seconds = args.seconds;
    let text = format!(
        "`POST /api/data`, a line each, by {CLIENTS} clients on kept connections for {seconds} s. Beside it the same call in FastAPI and \
         SQLAlchemy, `benches/peers/records`: uvicorn with uvloop and httptools; over PostgreSQL 2 workers, asyncpg, a \
         pool of 20; over SQLite 1 worker, aiosqlite, WAL with synchronous=FULL. CPU is user's and system's of all processes of \
         the server, without PostgreSQL's.\n\n{table}"
    );
    bench.report.write("records: single posts, beside FastAPI and SQLAlchemy", &text)
}

impl Server {
    /// Returns the requests a second.
    async fn measure(
        &mut self,
        process: &Process,
        address: &str,
        args: &RecordsArgs,
    ) -> Result<f64, BenchError> {
        let mut rng = Rng::with_seed(1);
        let request = |_| {
            let body = serde_json::json!({ "log": lines::line(&mut rng) }).to_string();
            request("POST", "/api/data", &body)
        };
        let requests: Vec<_> = (0..REQUESTS).map(request).collect();
        let connections = (0..CLIENTS).map(|_| Connection::open(address));
        let mut connections = try_join_all(connections).await?;

        post(&mut connections, &requests, WARM_UP).await?;
        let (begun, used) = (Instant::now(), process.cpu());
        let count = post(&mut connections, &requests, args.duration()).await?;
        let (time, used) = (begun.elapsed(), process.cpu().saturating_sub(used));

        let a_second = per_second(count, time);
        self.a_second.push(a_second);
        self.cpu_millis.push(used.as_secs_f64() * 1e3 / count as f64);
        Ok(a_second)
    }
}

/// Sends requests on all connections for that time. Returns how many were answered.
async fn post(
    connections: &mut [Connection],
    requests: &[Vec<u8>],
    duration: Duration,
) -> Result<usize, BenchError> {
    let end = Instant::now() + duration;
    let clients = connections.iter_mut().enumerate().map(|(client, connection)| async move {
        let mut count = 0;
        while Instant::now() < end || count == 0 {
            connection.ask(&requests[(client * 31 + count) % requests.len()], 201).await?;
            count += 1;
        }
        Ok::<_, BenchError>(count)
    });
    Ok(try_join_all(clients).await?.into_iter().sum())
}
