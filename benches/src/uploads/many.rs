//! Measures tickets a second for files of 1 MiB, beside a bare handler that writes and flushes them.

use std::time::{Duration, Instant};

use super::bare::Kind;
use super::{Bare, UploadsArgs};
use crate::Bench;
use crate::drive::{self, Files, Until, Upload};
use crate::error::BenchError;
use crate::figures::{Figures, per_second};
use crate::service::{Service, Stack};

/// The size of a file in bytes, and the number of clients.
const LENGTH: usize = 1 << 20;
const CLIENTS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(1);

/// How a file is handed in.
type Form = for<'a> fn(&'a Files) -> Upload<'a>;

/// Measures, and writes the section.
///
/// # Errors
/// If a file is rejected.
pub async fn run(bench: &Bench, args: &UploadsArgs) -> Result<(), BenchError> {
    let files = Files::new(LENGTH);
    let duration = Duration::from_secs(args.seconds);
    let (raw, form): (Form, Form) =
        (|files| files.put("/api/v1/md5/upload"), |files| files.upload("/api/v1/md5"));
    let (mut puts, mut forms, mut bares) = (Figures::default(), Figures::default(), Figures::default());
    for _ in 0..args.repeat {
        for (way, figures) in [(raw, &mut puts), (form, &mut forms)] {
            let service = Service::start(&bench.program, Stack::Embedded, &bench.servers).await?;
            tickets(&service.address, &files, way, WARM_UP).await?;
            figures.push(tickets(&service.address, &files, way, duration).await?);
        }
        let bare = Bare::start(bench, Kind::Store).await?;
        tickets(&bare.address, &files, raw, WARM_UP).await?;
        bares.push(tickets(&bare.address, &files, raw, duration).await?);
        eprintln!("1 MiB: {:.0}/s, {:.0}/s; {:.0}/s", puts.median(), forms.median(), bares.median());
    }
    let row = |what: &str, figures: &Figures| {
        format!("| {what} | {} | {} |\n", figures.told(0), figures.by(&bares).told(2))
    };
    let text = format!(
        "Files of 1 MiB by {CLIENTS} clients on kept connections for {} s, no two alike: tickets a second, while Coatcheck (embedded) hashes what it has, \
         in turn with a bare handler of actix-web, which writes each body to a file of its own and fsyncs it.\n\n\
         | who | files/s | by the bare handler's |\n|---|---|---|\n{}{}{}",
        args.seconds,
        row("Coatcheck, `PUT`", &puts),
        row("Coatcheck, form", &forms),
        row("the bare handler, `PUT`", &bares),
    );
    bench.report.write("uploads: many of 1 MiB, beside a bare handler", &text)
}

/// Returns the answers a second.
async fn tickets(address: &str, files: &Files, way: Form, duration: Duration) -> Result<f64, BenchError> {
    let begun = Instant::now();
    let promises = drive::hand_in(address, || way(files), CLIENTS, Until::Passed(duration)).await?;
    Ok(per_second(promises.len(), begun.elapsed()))
}
