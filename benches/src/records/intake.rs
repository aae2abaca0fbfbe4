//! Measures many lines in one body, into an empty log.

use bytes::{Bytes, BytesMut};

use super::RecordsArgs;
use crate::Bench;
use crate::error::BenchError;
use crate::figures::{Figures, grouped, per_second, timed};
use crate::lines;
use crate::service::{Service, Stack};

/// The figures of one stack.
#[derive(Debug, Default)]
struct Intake {
    a_second: Figures,
    cpu_micros: Figures,
    memory_mib: Figures,
    written_bytes: Figures,
}

/// Measures both stacks, and writes the section.
///
/// # Errors
/// If a line is not kept.
pub async fn run(bench: &Bench, args: &RecordsArgs) -> Result<(), BenchError> {
    let count = args.at_once();
    let lines = lines::chunks(count).fold(BytesMut::new(), |mut all, chunk| {
        all.extend_from_slice(&chunk);
        all
    });
    let lines = lines.freeze();
    let mut table = "\
| stack | records/s | µs of its CPU a record | bytes written by it a record | MiB above idle at most |\n|---|---|---|---|---|\n"
        .to_owned();
    for stack in args.stacks() {
        let mut intake = Intake::default();
        for _ in 0..args.repeat {
            measure(bench, stack, count, lines.clone(), &mut intake).await?;
        }
        let Intake { a_second, cpu_micros, memory_mib, written_bytes } = intake;
        let (a_second, cpu_micros) = (a_second.told(0), cpu_micros.told(1));
        let (memory_mib, written_bytes) = (memory_mib.told(0), written_bytes.told(0));
        table += &format!("| {stack} | {a_second} | {cpu_micros} | {written_bytes} | {memory_mib} |\n");
    }
    let (count, mib) = (grouped(count as f64, 0), lines.len() >> 20);
    let text = format!(
        "{count} lines, {mib} MiB, by one `POST /api/data/bulk` into an empty log. \
         CPU, bytes and memory are those of Coatcheck itself, without PostgreSQL's.\n\n{table}"
    );
    bench.report.write("records: bulk intake", &text)
}

async fn measure(
    bench: &Bench,
    stack: Stack,
    count: usize,
    lines: Bytes,
    intake: &mut Intake,
) -> Result<(), BenchError> {
    let service = Service::start(&bench.program, stack, &bench.servers).await?;
    let memory = service.process.watch_memory();
    let used = service.process.cpu();
    let written = service.process.written();
    let (added, time) = timed(service.add_lines(count, lines)).await;
    added?;
    let used = service.process.cpu().saturating_sub(used);
    let written = service.process.written().saturating_sub(written);
    let a_second = per_second(count, time);
    intake.a_second.push(a_second);
    intake.cpu_micros.push(used.as_secs_f64() * 1e6 / count as f64);
    intake.written_bytes.push(written as f64 / count as f64);
    intake.memory_mib.push(memory.most_above_idle_mib().await);
    eprintln!("bulk intake, {stack}: {} records/s", grouped(a_second, 0));
    Ok(())
}
