//! Measures what retention costs others: tickets, beginnings of work and the size of the database while many old tasks are deleted.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::value_parser;
use futures::try_join;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::Bench;
use crate::connection::request;
use crate::database::Database;
use crate::drive;
use crate::error::{BenchError, io};
use crate::figures::{Figures, grouped, per_second};
use crate::fleet::Fleet;
use crate::process::output_of;
use crate::service::{Service, Stack, command_in, temporary_folder};
use crate::target::Target;

const ROWS: u64 = 1_000_000;
/// The number of old tasks among which there is one of each sort.
const EACH_SORT: u64 = 1000;
const REPEAT: u64 = 3;
const SECONDS: u64 = 10;
const CLIENTS: usize = 8;
const SMALL: usize = 1 << 10;
/// Too large for a row, so that a worker claims it.
const LARGE: usize = 20 << 10;
/// The time before measuring starts, in which connections are opened and the database's pages are read.
const WARM_UP: Duration = Duration::from_secs(1);
/// The interval at which the database is asked how far the service is.
const LOOK: Duration = Duration::from_millis(500);
/// The time after which what is waited for is assumed never to happen.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// How long ago the old tasks ended.
const AGE: TimeDelta = TimeDelta::days(60);
/// The tasks that end in one statement in PostgreSQL, about as many as under this load.
const TOGETHER: u64 = 4;
/// Keeps the old tasks, and the uploads of those that failed.
const KEEP: [(&str, &str); 4] = [
    ("KEEP_SUCCEEDED", "forever"),
    ("KEEP_FAILED", "forever"),
    ("KEEP_CANCELLED", "forever"),
    ("KEEP_FAILED_UPLOADS", "3650d"),
];
/// Keeps nothing of them.
const PRUNE: [(&str, &str); 4] = [
    ("KEEP_SUCCEEDED", "30d"),
    ("KEEP_FAILED", "30d"),
    ("KEEP_CANCELLED", "30d"),
    ("KEEP_FAILED_UPLOADS", "7d"),
];
/// A condition in SQL: no task waits or runs.
const ALL_HAVE_ENDED: &str = "NOT EXISTS (SELECT 1 FROM tasks WHERE status = 'pending') \
                              AND NOT EXISTS (SELECT 1 FROM tasks WHERE status = 'running')";

/// Measure clients beside the deletion of old tasks
#[derive(Debug, clap::Args)]
pub struct RetentionArgs {
    /// Only on that stack
    #[arg(long, value_enum)]
    stack: Option<Stack>,
    /// Old tasks that are deleted
    #[arg(long, default_value_t = ROWS, value_parser = value_parser!(u64).range(EACH_SORT..))]
    rows: u64,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How long files are handed in each time
    #[arg(long, default_value_t = SECONDS, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
}

impl Default for RetentionArgs {
    fn default() -> Self {
        Self { stack: None, rows: ROWS, repeat: REPEAT, seconds: SECONDS }
    }
}

/// Measures both stacks, and writes the section.
///
/// # Errors
/// If a file is rejected, `coatcheck verify` has a finding, or something of a deleted task is left.
pub async fn run(bench: &Bench, args: &RetentionArgs) -> Result<(), BenchError> {
    let (mut clients, mut databases) = (String::new(), String::new());
    for stack in Stack::chosen(args.stack) {
        let mut old = Old::made(bench, stack, args.rows).await?;
        let before = old.size()?;
        for _ in 0..args.repeat {
            old = old.measure(bench, Then::Kept, Some(args.seconds)).await?;
            old = old.measure(bench, Then::Deleted, Some(args.seconds)).await?;
        }
        old = old.measure(bench, Then::AllDeleted, None).await?;
        old.check_gone(bench)?;
        let after = old.size()?;
        old.tell(&mut clients);
        let a_second = grouped(per_second(args.rows as usize, old.deleting), 0);
        let _ = writeln!(databases, "| {stack} | {a_second} | {before} | {after} |");
    }
    let text = format!(
        "{} tasks ended 60 days ago, one in a hundred as failed, with four earlier attempts and its upload (one in ten in the blob folder), and \
         one in a hundred as cancelled. In turn, a service that is started anew keeps them, or deletes them (`KEEP_…=30d`), for {} s each; then \
         one deletes the rest under the same load, and SQLite gives the space back. The load: {CLIENTS} clients hand in 1 KiB, each 5 ms after \
         its last ticket, and one hands in 20 KiB. `coatcheck verify` has no finding before and after, and nothing of the deleted tasks is left \
         but their lines.\n\n\
         A wait is the longest one of all tasks, from the task's row (`created`) to the beginning of its work (`started`), by the database's \
         clock: it includes the commit of the row, the queue, and the statement of the claim up to its row. The larger files are claimed; the \
         others are done without a claim, and begin when they end.\n\n\
         | stack | old tasks are | tickets/s | median ms | p99 ms | longest wait of a claim, ms | of work without one, ms |\n\
         |---|---|---|---|---|---|---|\n{clients}\n\
         Size is that of SQLite's files with its WAL, and of the tables of tasks with their indexes in PostgreSQL, which keeps the space for new \
         rows; there, \"after\" is after a `VACUUM`.\n\n\
         | stack | tasks deleted/s | MiB before (free in it) | MiB after (free in it) |\n|---|---|---|---|\n{databases}",
        grouped(args.rows as f64, 0),
        args.seconds,
    );
    bench.report.write("retention: old tasks deleted under load", &text)
}

/// The fate of the old tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Deleted,
    /// Deleted up to the last one.
    AllDeleted,
}

impl Then {
    const ALL: [Self; 3] = [Self::Kept, Self::Deleted, Self::AllDeleted];

    fn settings(self) -> [(&'static str, String); 4] {
        let settings = if self == Self::Kept { KEEP } else { PRUNE };
        settings.map(|(name, value)| (name, value.to_owned()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Deleted => "deleted",
            Self::AllDeleted => "deleted, up to the last one",
        }
    }
}

/// The figures of the clients.
#[derive(Default)]
struct Clients {
    a_second: Figures,
    median: Figures,
    p99: Figures,
    claim: Figures,
    unclaimed: Figures,
}

/// A service with old tasks.
struct Old<'a> {
    stack: Stack,
    database: Database,
    target: Target<'a>,
    /// The uploads of old tasks in the blob folder.
    uploads: Vec<PathBuf>,
    /// The number of their last row in the feed.
    last: String,
    /// By [`Then`].
    clients: [Clients; 3],
    /// When the service was started that deletes them now.
    deletes_since: Option<Instant>,
    /// How long they were deleted.
    deleting: Duration,
}

impl<'a> Old<'a> {
    /// Makes old tasks and starts a service on them, and waits until their lines are written and the statistics have counted them.
    async fn made(bench: &'a Bench, stack: Stack, rows: u64) -> Result<Self, BenchError> {
        eprintln!("{stack}: {} old tasks are made", grouped(rows as f64, 0));
        let (database, target, blobs) = match stack {
            Stack::Embedded => {
                // The service is the only one that writes, so it starts afterwards.
                let folder = temporary_folder()?;
                output_of(command_in(&folder, &bench.program, &["migrate"], &[]))?;
                let database = Database::Sqlite(folder.path().join("data/coatcheck.db"));
                make(&database, rows)?;
                let service = Service::start_in(folder, &bench.program, &[], &Then::Kept.settings()).await?;
                let blobs = service.data().join("blobs");
                (database, Target::Embedded(Box::new(service)), blobs)
            }
            Stack::Distributed => {
                let mut fleet = Fleet::start(bench, 0, &[]).await?;
                let database = Database::Postgres(fleet.setting("DATABASE_URL").to_owned());
                make(&database, rows)?;
                database.run(&["VACUUM (ANALYZE)", "CHECKPOINT"])?;
                fleet.restart_worker(&Then::Kept.settings())?;
                let blobs = fleet.blobs();
                (database, Target::Distributed(Box::new(fleet)), blobs)
            }
        };
        let (clients, deleting) = (Default::default(), Duration::ZERO);
        let uploads = make_uploads(&database, &blobs)?;
        let last = String::new();
        let mut old = Self { stack, database, target, uploads, last, clients, deletes_since: None, deleting };
        old.until(old.has_followed()).await?;
        old.last = old.database.run(&["SELECT max(no) FROM feed"])?;
        old.target.run(bench, &["verify"])?;
        Ok(old)
    }

    /// Starts the service anew and measures clients beside it, for that many seconds or until the old tasks are gone.
    async fn measure(mut self, bench: &Bench, then: Then, seconds: Option<u64>) -> Result<Self, BenchError> {
        self.deleting += self.deletes_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.target = self.target.restarted(bench, &then.settings()).await?;
        self.deletes_since = (then != Then::Kept).then(Instant::now);

        let (from, begun, is_over) = (Utc::now(), Instant::now() + WARM_UP, AtomicBool::new(false));
        let clients = async |bytes: usize, clients| {
            let upload = request("PUT", "/api/v1/md5/upload", &"x".repeat(bytes));
            drive::paced(self.target.address(), &upload, clients, WARM_UP, || is_over.load(Relaxed)).await
        };
        let watched = async {
            let end = seconds.map(|seconds| begun + Duration::from_secs(seconds));
            while end.is_none_or(|end| Instant::now() < end) && !self.holds(self.has_deleted()).await? {
                sleep(LOOK).await;
            }
            let deleted = Instant::now();
            if then == Then::AllDeleted {
                self.until(self.has_given_back()).await?;
            }
            is_over.store(true, Relaxed);
            Ok((deleted, begun.elapsed()))
        };
        let (times, _, (deleted, time)) = try_join!(clients(SMALL, CLIENTS), clients(LARGE, 1), watched)?;
        if then == Then::AllDeleted {
            self.deleting += self.deletes_since.take().map_or(Duration::ZERO, |since| deleted - since);
        }
        self.until(ALL_HAVE_ENDED.to_owned()).await?;
        let [claim, unclaimed] = self.waits(from)?;
        let (count, p99) = (times.iter().count(), times.quantile(0.99));
        eprintln!(
            "{}, {}: {count} tickets, p99 {p99:.1} ms; waits up to {claim:.0} and {unclaimed:.0} ms",
            self.stack,
            then.name()
        );
        if count == 0 {
            let told = "the old tasks were gone before their deletion could be measured; give more --rows";
            return Err(BenchError::Unexpected(told.to_owned()));
        }
        let clients = &mut self.clients[then as usize];
        clients.a_second.push(per_second(count, time));
        clients.median.push(times.median());
        clients.p99.push(p99);
        clients.claim.push(claim);
        clients.unclaimed.push(unclaimed);
        Ok(self)
    }

    /// Returns whether a condition in SQL holds.
    async fn holds(&self, condition: String) -> Result<bool, BenchError> {
        let database = self.database.clone();
        let asked = spawn_blocking(move || database.run(&[&format!("SELECT {condition}")])).await;
        let told = asked.map_err(|error| BenchError::Unexpected(error.to_string()))??;
        Ok(told == "1" || told == "t")
    }

    async fn until(&self, condition: String) -> Result<(), BenchError> {
        let deadline = Instant::now() + TIMEOUT;
        while !self.holds(condition.clone()).await? {
            if Instant::now() > deadline {
                return Err(BenchError::Unexpected(format!("this did not become true: {condition}")));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Returns a condition in SQL: each outcome is in the log and counted.
    fn has_followed(&self) -> String {
        let (all_have_numbers, last) = match self.database {
            Database::Sqlite(_) => ("true", "(SELECT max(no) FROM feed)"),
            Database::Postgres(_) => {
                ("NOT EXISTS (SELECT FROM feed WHERE no IS NULL)", "(SELECT no FROM feed_end)")
            }
        };
        format!(
            "{all_have_numbers} AND {last} = (SELECT min(no) FROM followers) AND {last} = (SELECT no FROM stats_place)"
        )
    }

    /// Returns a condition in SQL: the old tasks are gone.
    fn has_deleted(&self) -> String {
        format!("NOT EXISTS (SELECT 1 FROM feed WHERE no <= {})", self.last)
    }

    /// Returns a condition in SQL: no more space is given back. The service keeps a tenth for new rows.
    fn has_given_back(&self) -> String {
        match self.database {
            Database::Sqlite(_) => {
                "freelist_count <= max(256, page_count / 10) FROM pragma_freelist_count, pragma_page_count"
            }
            Database::Postgres(_) => "true",
        }
        .to_owned()
    }

    /// Returns the longest waits of tasks handed in since then, in milliseconds: of those that were claimed, and of the others.
    fn waits(&self, from: DateTime<Utc>) -> Result<[f64; 2], BenchError> {
        let first = format!("{:012x}70008000000000000000", from.timestamp_millis());
        let (wait, first) = match self.database {
            Database::Sqlite(_) => ("(started - created) / 1000.0", format!("unhex('{first}')")),
            Database::Postgres(_) => ("extract(epoch FROM started - created) * 1000", format!("'{first}'")),
        };
        let longest = |sort| {
            let select = format!("SELECT max({wait}) FROM tasks WHERE id >= {first} AND blob_check {sort}");
            self.database.number(&select)
        };
        Ok([longest("IS NOT NULL")?, longest("IS NULL")?])
    }

    /// Checks that nothing of the old tasks is left but their lines.
    fn check_gone(&self, bench: &Bench) -> Result<(), BenchError> {
        self.target.run(bench, &["verify"])?;
        let old = match self.database {
            Database::Sqlite(_) => "< (unixepoch() - 31 * 86400) * 1000000",
            Database::Postgres(_) => "< now() - interval '31 days'",
        };
        let rows = self.database.number(&format!(
            "SELECT (SELECT count(*) FROM tasks WHERE finished {old}) + (SELECT count(*) FROM attempts WHERE ended {old}) \
                  + (SELECT count(*) FROM feed WHERE appended {old})"
        ))?;
        let uploads = self.uploads.iter().filter(|upload| upload.exists()).count();
        let told =
            || format!("expected nothing of the deleted tasks, found {rows} rows and {uploads} uploads");
        (rows == 0.0 && uploads == 0).then_some(()).ok_or_else(|| BenchError::Unexpected(told()))
    }

    /// Returns the MiB of the database, and how many of them are free for new rows.
    fn size(&self) -> Result<String, BenchError> {
        let (bytes, free) = match &self.database {
            Database::Sqlite(path) => {
                let files = ["", "-wal", "-shm"].map(|end| fs::metadata(format!("{}{end}", path.display())));
                let bytes: u64 = files.into_iter().flatten().map(|file| file.len()).sum();
                let free = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size";
                (bytes as f64, self.database.number(free)?)
            }
            Database::Postgres(_) => {
                self.database.run(&[
                    "CREATE EXTENSION IF NOT EXISTS pg_freespacemap",
                    "VACUUM tasks, attempts, feed",
                ])?;
                let of_tables = |what: &str| {
                    let select = format!(
                        "SELECT sum({what}) FROM unnest(ARRAY['tasks', 'attempts', 'feed']::regclass[]) AS oid"
                    );
                    self.database.number(&select)
                };
                (
                    of_tables("pg_total_relation_size(oid)")?,
                    of_tables("(SELECT sum(avail) FROM pg_freespace(oid))")?,
                )
            }
        };
        let mib = |bytes: f64| grouped(bytes / f64::from(1 << 20), 0);
        Ok(format!("{} ({})", mib(bytes), mib(free)))
    }

    fn tell(&self, text: &mut String) {
        for (then, clients) in Then::ALL.into_iter().zip(&self.clients) {
            let Clients { a_second, median, p99, claim, unclaimed } = clients;
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                self.stack,
                then.name(),
                a_second.told(0),
                median.told(2),
                p99.told(2),
                claim.told(0),
                unclaimed.told(0)
            );
        }
        let [kept, deleted, _] = &self.clients;
        let _ = writeln!(
            text,
            "| | **deleted by kept** | {} | {} | {} | | |",
            deleted.a_second.by(&kept.a_second).told(2),
            deleted.median.by(&kept.median).told(2),
            deleted.p99.by(&kept.p99).told(2)
        );
    }
}

/// Makes tasks that ended long ago, with the rows that real ends leave. Their ids are ordered by time as the service's are, and random beyond
/// that.
fn make(database: &Database, rows: u64) -> Result<(), BenchError> {
    let begin = (Utc::now() - AGE).timestamp_millis();
    let (numbers, id, time, object, cast, feed) = match database {
        Database::Sqlite(_) => (
            format!(
                "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})"
            ),
            "unhex(printf('%012x', ms) || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))",
            "ms * 1000",
            "json_object",
            "",
            "SELECT finished, id FROM tasks ORDER BY id".to_owned(),
        ),
        Database::Postgres(_) => (
            format!("WITH numbers AS (SELECT n FROM generate_series(1, {rows}) AS n)"),
            "(lpad(to_hex(ms), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid",
            "to_timestamp(ms / 1000.0)",
            "jsonb_build_object",
            "::taskstatus",
            format!(
                "SELECT max(finished), array_agg(id ORDER BY id) \
                 FROM (SELECT id, finished, (row_number() OVER (ORDER BY id) - 1) / {TOGETHER} AS batch FROM tasks) AS ended \
                 GROUP BY batch ORDER BY batch"
            ),
        ),
    };
    let (has_failed, has_blob) = ("n % 100 = 0", format!("n % {EACH_SORT} = 0"));
    let tasks = format!(
        "{numbers} INSERT INTO tasks (id, kind, status, created, input, content, blob_check, published_at, sweep_at, attempt, tries, started, \
             finished, logged_at, result, error_code, error_detail) \
         SELECT {id}, 'md5', (CASE WHEN {has_failed} THEN 'failed' WHEN n % 100 = 1 THEN 'cancelled' ELSE 'succeeded' END){cast}, {time}, \
             {object}('filename', 'upload', 'size', 1024, 'content_type', 'application/octet-stream'), \
             CASE WHEN {has_failed} AND NOT {has_blob} THEN {content} END, CASE WHEN {has_blob} THEN n END, {time}, {time}, \
             CASE WHEN {has_failed} THEN 5 WHEN n % 100 = 1 THEN 0 ELSE 1 END, CASE WHEN {has_failed} THEN 5 ELSE 0 END, \
             CASE WHEN n % 100 <> 1 THEN {time} END, {time}, {time}, CASE WHEN n % 100 > 1 THEN {object}('md5', h) END, \
             CASE WHEN {has_failed} THEN 'blob-missing' END, CASE WHEN {has_failed} THEN 'The upload is missing.' END \
         FROM (SELECT n, {begin} + n AS ms, md5(CAST(n AS text)) AS h FROM numbers) AS made",
        content = if matches!(database, Database::Sqlite(_)) {
            "zeroblob(1024)"
        } else {
            "convert_to(repeat('x', 1024), 'UTF8')"
        },
    );
    let attempts = "INSERT INTO attempts (task, attempt, started, ended, error_code, error_detail) \
         SELECT id, column1, started, finished, error_code, error_detail \
         FROM tasks, (VALUES (1), (2), (3), (4)) AS earlier WHERE status = 'failed'";
    let feed =
        format!("INSERT INTO feed (appended, {}) {feed}", if cast.is_empty() { "task" } else { "tasks" });
    database.run(&[&tasks, attempts, &feed]).map(drop)
}

/// Makes the uploads of failed tasks that are not in their rows, and returns their paths.
fn make_uploads(database: &Database, blobs: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let hex = match database {
        Database::Sqlite(_) => "lower(hex(id))",
        Database::Postgres(_) => "replace(id::text, '-', '')",
    };
    let ids = database.run(&[&format!("SELECT {hex} FROM tasks WHERE blob_check IS NOT NULL")])?;
    let make = |id: &str| {
        // A shard is named by the id's last byte.
        let name = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        let path = blobs.join(&id[30..]).join(name);
        fs::write(&path, "x").map_err(io(path.to_string_lossy()))?;
        Ok(path)
    };
    ids.lines().map(make).collect()
}
