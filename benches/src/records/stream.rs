//! Measures a stream of all records to a reader that keeps none: its time, and the server's memory meanwhile.

use super::RecordsArgs;
use crate::error::BenchError;
use crate::figures::{Figures, grouped, per_second, timed};
use crate::service::{Service, Stack};

pub const TABLE: &str = "\
| stack | MiB above idle at most | seconds | records/s | MiB of JSON |\n|---|---|---|---|---|\n";

/// Returns a row of the table.
///
/// # Errors
/// If the stream is cut short.
pub async fn measure(large: &Service, stack: Stack, args: &RecordsArgs) -> Result<String, BenchError> {
    let (mut memory_mib, mut seconds) = (Figures::default(), Figures::default());
    let mut a_second = Figures::default();
    let mut size_mib = 0.0;
    for _ in 0..args.repeat {
        let memory = large.process.watch_memory();
        let (bytes, time) = timed(large.read_all()).await;
        size_mib = bytes? as f64 / (1 << 20) as f64;
        let most = memory.most_above_idle_mib().await;
        eprintln!("stream, {stack}: {:.1} s, {most:.0} MiB above idle", time.as_secs_f64());
        memory_mib.push(most);
        seconds.push(time.as_secs_f64());
        a_second.push(per_second(args.records, time));
    }
    let (memory_mib, seconds, a_second) = (memory_mib.told(1), seconds.told(1), a_second.told(0));
    Ok(format!("| {stack} | {memory_mib} | {seconds} | {a_second} | {} |\n", grouped(size_mib, 0)))
}
