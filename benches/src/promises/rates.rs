//! Measures promises a second and the cost of one, for small and large files, in turn with the peer.

use super::{PromisesArgs, WARM_UP};
use crate::Bench;
use crate::drive::{self, Faults, Files, Until};
use crate::error::BenchError;
use crate::figures::Figures;
use crate::peer;
use crate::plots::{Bars, Panel};
use crate::service::Stack;
use crate::target::{Choice, Target};

/// The size of a file in bytes, its name in the results, and the number of clients.
const LOADS: [(usize, &str, usize); 2] = [(1 << 10, "1 KiB", 32), (1 << 20, "1 MiB", 16)];

/// The figures of one target.
#[derive(Default)]
struct Row {
    a_second: Figures,
    cpu_millis: Figures,
    faults: Faults,
}

/// Measures all targets, and writes the section.
///
/// # Errors
/// If a file is rejected.
pub async fn run(bench: &Bench, args: &PromisesArgs) -> Result<(), BenchError> {
    let choices = Target::all(bench, &Stack::chosen(args.stack));
    let mut table = "\
| files | server | promises/s | ms of its CPU a promise | lost, doubled, wrong |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut panels = Vec::new();
    for (length, told, clients) in LOADS {
        let files = Files::new(length);
        let mut rows: Vec<(Choice<'_>, Row)> =
            choices.iter().map(|choice| (*choice, Row::default())).collect();
        for _ in 0..args.repeat {
            for (choice, row) in &mut rows {
                let target = choice.start(bench).await?;
                drive::run(&target, &files, clients, Until::Passed(WARM_UP)).await?;
                let outcome = drive::run(&target, &files, clients, Until::Passed(args.duration())).await?;
                let (a_second, cpu) = (outcome.a_second(), outcome.cpu_millis());
                eprintln!("promises, {told}, {}: {a_second:.0}/s, {cpu:.3} ms of CPU each", choice.name());
                row.a_second.push(a_second);
                row.cpu_millis.push(cpu);
                row.faults += outcome.faults;
            }
        }
        table += &told_of(told, &rows);
        let bars = |figure: fn(&Row) -> &Figures| {
            rows.iter().map(|(choice, row)| (choice.name().to_owned(), figure(row).median())).collect()
        };
        panels.push(Panel::new(format!("{told}: promises/s"), bars(|row| &row.a_second)));
        panels.push(Panel::new(format!("{told}: ms of CPU a promise"), bars(|row| &row.cpu_millis)));
    }
    let beside = match bench.peer {
        Some(_) => format!(" In turn with them a peer: {}.", peer::DESCRIPTION),
        None => String::new(),
    };
    let text = format!(
        "`POST /api/v1/md5` (multipart), each client the next file as soon as it has a ticket, for {} s on kept connections: {} clients with 1 KiB, {} \
         with 1 MiB, no two files alike. From the first request to the last line in the outcome log, where each digest is compared with the \
         file's. Embedded is one process over SQLite; distributed are an API and a worker over PostgreSQL, RabbitMQ and Redis. CPU is user's \
         and system's of API and worker, without those servers'.{beside}\n\n{table}",
        args.seconds, LOADS[0].2, LOADS[1].2
    );
    bench.plots.bars("promises", &Bars { title: "Promises kept, and what one costs", panels })?;
    bench.report.write("promises: a second, and what one costs", &text)
}

fn told_of(files: &str, rows: &[(Choice<'_>, Row)]) -> String {
    let mut table = String::new();
    for (choice, row) in rows {
        let (a_second, cpu_millis) = (row.a_second.told(0), row.cpu_millis.told(3));
        table += &format!("| {files} | {} | {a_second} | {cpu_millis} | {} |\n", choice.name(), row.faults);
    }
    let Some((Choice::Peer(_), peer)) = rows.last() else { return table };
    for (choice, row) in &rows[..rows.len() - 1] {
        let (faster, cheaper) = (row.a_second.by(&peer.a_second), peer.cpu_millis.by(&row.cpu_millis));
        let (faster, cheaper, name) = (faster.told(1), cheaper.told(1), choice.name());
        table += &format!("| {files} | **{name}: times better** | {faster} | {cheaper} | |\n");
    }
    table
}
