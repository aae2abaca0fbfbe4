//! Measures the memory of the processes when many promises were kept and the service is idle.

use std::time::Duration;

use tokio::time::sleep;

use super::PromisesArgs;
use crate::Bench;
use crate::drive::{self, Files, Until};
use crate::error::BenchError;
use crate::figures::{Figures, grouped};
use crate::service::Stack;
use crate::target::Target;

const LENGTH: usize = 1 << 10;
const CLIENTS: usize = 32;
/// How long the service is idle before memory is measured.
const IDLE: Duration = Duration::from_secs(5);

/// The memory of each process in MiB: proportional and resident.
#[derive(Default)]
struct Memory {
    name: &'static str,
    share_before: Figures,
    share: Figures,
    resident: Figures,
}

/// Measures the memory, and writes the section.
///
/// # Errors
/// If a file is rejected.
pub async fn run(bench: &Bench, args: &PromisesArgs) -> Result<(), BenchError> {
    let files = Files::new(LENGTH);
    let mut table = "\
| stack | process | PSS before, MiB | PSS after, MiB | RSS after, MiB |\n|---|---|---|---|---|\n"
        .to_owned();
    for stack in Stack::chosen(args.stack) {
        let mut memories: Vec<Memory> = Vec::new();
        for _ in 0..args.repeat {
            let target = Target::start(bench, stack).await?;
            sleep(IDLE).await;
            let processes = target.processes();
            memories.resize_with(processes.len(), Memory::default);
            for (memory, (name, process)) in memories.iter_mut().zip(&processes) {
                memory.name = name;
                memory.share_before.push(mib(process.proportional_kib()));
            }
            drive::run(&target, &files, CLIENTS, Until::Promises(args.promises)).await?;
            sleep(IDLE).await;
            for (memory, (name, process)) in memories.iter_mut().zip(&processes) {
                memory.share.push(mib(process.proportional_kib()));
                memory.resident.push(mib(process.memory_kib()));
                eprintln!("memory, {stack}, {name}: {} KiB", process.memory_kib());
            }
        }
        for Memory { name, share_before, share, resident } in &memories {
            let (before, after, resident) = (share_before.told(1), share.told(1), resident.told(1));
            table += &format!("| {stack} | {name} | {before} | {after} | {resident} |\n");
        }
    }
    let text = format!(
        "Memory {} s after the last of {} promises of 1 KiB was kept, by {CLIENTS} clients, and before the first.\n\n{table}",
        IDLE.as_secs(),
        grouped(args.promises as f64, 0)
    );
    bench.report.write("promises: memory when idle", &text)
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
