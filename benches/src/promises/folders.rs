//! Measures files too large for a row, in a fresh folder and in one in which many files were made and deleted.

use super::{PromisesArgs, WARM_UP};
use crate::Bench;
use crate::drive::{self, Faults, Files, Until};
use crate::error::BenchError;
use crate::figures::{Figures, grouped};
use crate::service::Stack;
use crate::target::Target;

/// The size of a file in bytes.
const LENGTH: usize = 32 << 10;
const CLIENTS: usize = 32;

/// Measures both folders, and writes the section.
///
/// # Errors
/// If a file is rejected.
pub async fn run(bench: &Bench, args: &PromisesArgs) -> Result<(), BenchError> {
    let files = Files::new(LENGTH);
    let mut table = "\
| stack | fresh: promises/s | used: promises/s | used by fresh | fresh: ms of CPU | used: ms of CPU | lost, doubled, wrong |\n\
|---|---|---|---|---|---|---|\n"
        .to_owned();
    for stack in Stack::chosen(args.stack) {
        let (mut fresh, mut used) = (Figures::default(), Figures::default());
        let (mut fresh_cpu, mut used_cpu) = (Figures::default(), Figures::default());
        let mut faults = Faults::default();
        for _ in 0..args.repeat {
            let before = [Until::Passed(WARM_UP), Until::Promises(args.files)];
            for (before, a_second, cpu) in
                [(before[0], &mut fresh, &mut fresh_cpu), (before[1], &mut used, &mut used_cpu)]
            {
                let target = Target::start(bench, stack).await?;
                drive::run(&target, &files, CLIENTS, before).await?;
                let outcome = drive::run(&target, &files, CLIENTS, Until::Passed(args.duration())).await?;
                eprintln!("folders, {stack}: {:.0} promises/s", outcome.a_second());
                a_second.push(outcome.a_second());
                cpu.push(outcome.cpu_millis());
                faults += outcome.faults;
            }
        }
        table += &format!(
            "| {stack} | {} | {} | {} | {} | {} | {faults} |\n",
            fresh.told(0),
            used.told(0),
            used.by(&fresh).told(2),
            fresh_cpu.told(3),
            used_cpu.told(3)
        );
    }
    let text = format!(
        "Files of {} KiB, which are files on the disk until they are done, by {CLIENTS} clients for {} s: in a fresh data folder, and in one in \
         which {} such files were made and deleted before, by as many promises.\n\n{table}",
        LENGTH >> 10,
        args.seconds,
        grouped(args.files as f64, 0)
    );
    bench.report.write("promises: in a fresh folder and in a used one", &text)
}
