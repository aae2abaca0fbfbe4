//! Measures look-ups of results: whether they cost more in a table with many rows, and compared with the peer.

use std::time::{Duration, Instant};

use clap::value_parser;
use fastrand::Rng;
use futures::future::try_join_all;

use crate::Bench;
use crate::connection::{Connection, request};
use crate::database::Database;
use crate::drive::{self, Files, Until};
use crate::error::BenchError;
use crate::figures::{Figures, grouped, per_second};
use crate::fleet::Fleet;
use crate::outcomes::Outcomes;
use crate::peer;
use crate::plots::{Bars, Panel};
use crate::process::cpu_of_trees;
use crate::target::Target;

const CLIENTS: usize = 64;
const ROWS: u64 = 10_000_000;
/// The ratio of the large table's rows to the small one's.
const LARGER: u64 = 1000;
const REPEAT: u64 = 3;
const SECONDS: u64 = 10;
const WARM_UP: Duration = Duration::from_secs(1);
/// The number of the peer's results.
const OF_PEER: usize = 200;

/// Measure look-ups of results
#[derive(Debug, clap::Args)]
pub struct LookupsArgs {
    /// Rows of the large table; the small one has a thousandth
    #[arg(long, default_value_t = ROWS, value_parser = value_parser!(u64).range(LARGER..))]
    rows: u64,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How long results are looked up each time
    #[arg(long, default_value_t = SECONDS, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
}

impl Default for LookupsArgs {
    fn default() -> Self {
        Self { rows: ROWS, repeat: REPEAT, seconds: SECONDS }
    }
}

/// A table of results, and its figures.
struct Table<'a> {
    name: &'static str,
    rows: u64,
    target: Target<'a>,
    ids: Ids,
    a_second: Figures,
    cpu_micros: Figures,
    postgres_micros: Figures,
    both_micros: Figures,
    millis: Figures,
}

enum Ids {
    /// Rows that SQL has made, numbered from 1.
    Made(u64),
    Listed(Vec<String>),
}

impl Ids {
    fn draw(&self, rng: &mut Rng) -> String {
        match self {
            Self::Made(rows) => made_id(rng.u64(1..=*rows)),
            Self::Listed(ids) => ids[rng.usize(..ids.len())].clone(),
        }
    }
}

/// Measures look-ups in both tables, and writes the section.
///
/// # Errors
/// If a row can't be made, or a result is missing.
pub async fn run(bench: &Bench, args: &LookupsArgs) -> Result<(), BenchError> {
    let postgres = [bench.servers.postgres_pid()?];
    let mut tables = Vec::new();
    for rows in [args.rows / LARGER, args.rows] {
        tables.push(Table::filled(bench, rows).await?);
    }
    if let Some(peer) = &bench.peer {
        tables.push(Table::of_peer(Target::Peer(peer)).await?);
    }
    for _ in 0..args.repeat {
        for table in &mut tables {
            table.measure(&postgres, Duration::from_secs(args.seconds)).await?;
        }
    }

    let mut text = "\
| server | rows | look-ups/s | µs of its CPU | µs of PostgreSQL's CPU | µs of both | median ms |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for table in &tables {
        // The peer has servers of its own.
        let of_servers = |micros: &Figures| match table.is_peer() {
            true => "–".to_owned(),
            false => micros.told(1).to_string(),
        };
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            table.name,
            grouped(table.rows as f64, 0),
            table.a_second.told(0),
            table.cpu_micros.told(1),
            of_servers(&table.postgres_micros),
            of_servers(&table.both_micros),
            table.millis.told(3)
        );
    }
    let (small, large) = (&tables[0], &tables[1]);
    text += &format!(
        "| **large by small** | | {} | {} | {} | {} | {} |\n",
        large.a_second.by(&small.a_second).told(2),
        large.cpu_micros.by(&small.cpu_micros).told(2),
        large.postgres_micros.by(&small.postgres_micros).told(2),
        large.both_micros.by(&small.both_micros).told(2),
        large.millis.by(&small.millis).told(2)
    );
    let mut beside = String::new();
    if let Some(peer) = tables.get(2) {
        for (name, table) in [("small", small), ("large", large)] {
            text += &format!(
                "| **{name}: times better than the peer** | | {} | {} | | | {} |\n",
                table.a_second.by(&peer.a_second).told(1),
                peer.cpu_micros.by(&table.cpu_micros).told(1),
                peer.millis.by(&table.millis).told(1)
            );
        }
        beside = format!(
            " In turn with them a peer ({}), with {OF_PEER} rows of this run beside those that it had.",
            peer::DESCRIPTION
        );
    }
    let about = format!(
        "`GET /api/v1/md5/{{id}}` by {CLIENTS} clients on kept connections for {} s, the ids drawn at random over all rows, of an API over \
         PostgreSQL (`shared_buffers` {}), with a small table and with a large one in turn.{beside}\n\n{text}",
        args.seconds,
        bench.servers.shared_buffers()?
    );
    bench.plots.bars("lookups", &bars(&tables))?;
    bench.report.write("lookups: in a small table and in a large one", &about)
}

fn bars(tables: &[Table<'_>]) -> Bars {
    let panel = |title: &str, figure: fn(&Table<'_>) -> f64| {
        let name = |table: &Table<'_>| format!("{}, {} rows", table.name, grouped(table.rows as f64, 0));
        Panel::new(title.to_owned(), tables.iter().map(|table| (name(table), figure(table))).collect())
    };
    let panels = vec![
        panel("µs of the server's CPU", |table| table.cpu_micros.median()),
        panel(&format!("median ms, by {CLIENTS} clients"), |table| table.millis.median()),
    ];
    Bars { title: "What a look-up of a result costs", panels }
}

impl<'a> Table<'a> {
    fn new(name: &'static str, rows: u64, target: Target<'a>, ids: Ids) -> Self {
        let [a_second, cpu_micros, postgres_micros, both_micros, millis] =
            [(); 5].map(|()| Figures::default());
        Self { name, rows, target, ids, a_second, cpu_micros, postgres_micros, both_micros, millis }
    }

    async fn filled(bench: &'a Bench, rows: u64) -> Result<Self, BenchError> {
        eprintln!("a table with {} rows is made", grouped(rows as f64, 0));
        let fleet = Fleet::start(bench, 0, &[]).await?;
        let database = Database::Postgres(fleet.setting("DATABASE_URL").to_owned());
        database.run(&[&filling(rows), "VACUUM (FREEZE, ANALYZE) tasks", "CHECKPOINT"])?;
        Ok(Self::new("Coatcheck", rows, Target::Distributed(Box::new(fleet)), Ids::Made(rows)))
    }

    async fn of_peer(target: Target<'a>) -> Result<Self, BenchError> {
        let mut outcomes = Outcomes::from_now(target.log());
        let promises =
            drive::submit(&target, &Files::new(1 << 10), CLIENTS, Until::Promises(OF_PEER)).await?;
        drive::until_ended(&mut outcomes, &promises).await?;
        let ids = promises.into_iter().map(|promise| promise.id).collect();
        Ok(Self::new("FastAPI, Celery", OF_PEER as u64, target, Ids::Listed(ids)))
    }

    async fn measure(&mut self, postgres: &[u32], duration: Duration) -> Result<(), BenchError> {
        self.look_up(WARM_UP).await?;
        let cpu = || [self.target.cpu(), cpu_of_trees(postgres)];
        let (before, begun) = (cpu(), Instant::now());
        let millis = self.look_up(duration).await?;
        let (time, after, count) = (begun.elapsed(), cpu(), millis.iter().count());
        let [cpu_micros, postgres_micros] =
            [0, 1].map(|who| after[who].saturating_sub(before[who]).as_secs_f64() * 1e6 / count as f64);
        let a_second = per_second(count, time);
        eprintln!("{}: {a_second:.0} look-ups/s, {cpu_micros:.1} µs of CPU each", self.name);
        self.a_second.push(a_second);
        self.cpu_micros.push(cpu_micros);
        self.postgres_micros.push(postgres_micros);
        self.both_micros.push(cpu_micros + postgres_micros);
        self.millis.push(millis.median());
        Ok(())
    }

    /// Looks results up for that time. Returns the milliseconds of each.
    async fn look_up(&self, duration: Duration) -> Result<Figures, BenchError> {
        let end = Instant::now() + duration;
        let client = async || {
            let mut connection = Connection::open(self.target.address()).await?;
            let (mut rng, mut times) = (Rng::new(), Vec::new());
            while Instant::now() < end {
                let request =
                    request("GET", &format!("{}/{}", self.target.path(), self.ids.draw(&mut rng)), "");
                let sent = Instant::now();
                connection.ask(&request, 200).await?;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, BenchError>(times)
        };
        Ok(try_join_all((0..CLIENTS).map(|_| client())).await?.into_iter().flatten().collect())
    }

    fn is_peer(&self) -> bool {
        matches!(self.target, Target::Peer(_))
    }
}

/// Returns SQL that inserts ended tasks. Their ids are ordered by time as the service's are, and random beyond that.
fn filling(rows: u64) -> String {
    format!(
        "INSERT INTO tasks (id, kind, status, created, input, published_at, sweep_at, attempt, started, finished, result, logged_at) \
         SELECT (lpad(to_hex({EPOCH} + n), 12, '0') || '7' || left(h, 3) || '8' || substr(h, 4, 15))::uuid, 'md5', 'succeeded', t, \
         jsonb_build_object('filename', 'upload', 'size', 1024, 'content_type', 'application/octet-stream'), t, t, 1, t, t, \
         jsonb_build_object('md5', h), t \
         FROM (SELECT n, md5(n::text) AS h, to_timestamp(({EPOCH} + n) / 1000.0) AS t FROM generate_series(1, {rows}) AS n) AS made"
    )
}

/// The milliseconds of the first id: a day in 2023.
const EPOCH: u64 = 1_700_000_000_000;

/// Returns the id of the row that SQL has made with that number.
fn made_id(number: u64) -> String {
    let time = format!("{:012x}", EPOCH + number);
    let random = md5_lanes::digest(number.to_string().as_bytes()).to_string();
    format!("{}-{}-7{}-8{}-{}", &time[..8], &time[8..], &random[..3], &random[3..6], &random[6..18])
}
