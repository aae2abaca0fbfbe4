//! Compares a worker that finds many large uploads with `md5sum` on the same files.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{DigestsArgs, files};
use crate::Bench;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::fleet::Fleet;

/// The size of each upload in bytes.
const LENGTH: usize = 100 << 20;
/// The time after which a task is assumed never to end.
const DEADLINE: Duration = Duration::from_secs(120);

/// The times of `md5sum` and of a worker.
#[derive(Default)]
struct Times {
    seconds: Figures,
    cpu_per_gib: Figures,
}

/// Measures both, and writes the section.
///
/// # Errors
/// If a task fails, or a command fails.
pub async fn run(bench: &Bench, args: &DigestsArgs) -> Result<(), BenchError> {
    let mut content = vec![0; LENGTH];
    fastrand::Rng::with_seed(1).fill(&mut content);
    let content = Bytes::from(content);
    let digest = md5_lanes::digest(&content).to_string();
    let gib = (args.uploads * LENGTH) as f64 / f64::from(1 << 30);
    let (mut md5sum, mut worker) = (Times::default(), Times::default());
    for _ in 0..args.repeat {
        let mut fleet = Fleet::start(bench, 0, &[]).await?;
        let mut tasks = Vec::new();
        for _ in 0..args.uploads {
            let put = fleet.http.put(format!("{}/api/v1/md5/upload", fleet.api)).body(content.clone());
            let task: serde_json::Value = put.send().await?.error_for_status()?.json().await?;
            let id = task["id"].as_str().unwrap_or_default();
            tasks.push(format!("{}/api/v1/md5/{id}?wait=30", fleet.api));
        }

        let (wall, cpu) = files::time(&fleet.blobs(), "find . -type f | xargs md5sum")?;
        md5sum.push(wall, cpu, gib);

        files::read_once(&fleet.blobs(), ".")?;
        let begun = Instant::now();
        fleet.add_worker()?;
        for task in tasks {
            let ended = loop {
                let task = fleet.found(&task).await?;
                if !task["finished"].is_null() || begun.elapsed() > DEADLINE {
                    break task;
                }
            };
            if ended["result"]["md5"] != *digest {
                return Err(BenchError::Unexpected(format!("expected the digest of an upload, got {ended}")));
            }
        }
        worker.push(begun.elapsed(), fleet.cpu_of_workers(), gib);
    }

    let mut table = "| who | seconds | seconds of CPU a GiB |\n|---|---|---|\n".to_owned();
    for (who, Times { seconds, cpu_per_gib }) in [("a worker", &worker), ("`md5sum`", &md5sum)] {
        table += &format!("| {who} | {} | {} |\n", seconds.told(2), cpu_per_gib.told(3));
    }
    let seconds = md5sum.seconds.by(&worker.seconds);
    let cpu = md5sum.cpu_per_gib.by(&worker.cpu_per_gib);
    table += &format!("| **times better** | {} | {} |\n", seconds.told(1), cpu.told(1));
    let text = format!(
        "{} uploads of {} MiB wait in PostgreSQL and the blob folder, in the page cache, when one worker is started; from its start \
         to the last result, with all else that it does. It also makes each upload's XXH3. `md5sum` has read the same files before, and `cat` \
         once more.\n\n{table}",
        args.uploads,
        LENGTH >> 20
    );
    bench.report.write("digests: a worker, beside md5sum", &text)
}

impl Times {
    fn push(&mut self, wall: Duration, cpu: Duration, gib: f64) {
        self.seconds.push(wall.as_secs_f64());
        self.cpu_per_gib.push(cpu.as_secs_f64() / gib);
    }
}
