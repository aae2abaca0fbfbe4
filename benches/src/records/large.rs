//! Measures a log with many records, filled once for all measurements on it.

use futures::{TryStreamExt, stream};

use super::{Part, RecordsArgs, cursor, stream as reading};
use crate::Bench;
use crate::error::BenchError;
use crate::figures::grouped;
use crate::lines;
use crate::service::{Service, Stack};

/// Measures streams and cursors, and writes their sections.
///
/// # Errors
/// If an answer is not the expected one.
pub async fn run(bench: &Bench, args: &RecordsArgs) -> Result<(), BenchError> {
    let (mut streams, mut cursors) = (reading::TABLE.to_owned(), cursor::TABLE.to_owned());
    for stack in args.stacks() {
        let large = filled(bench, stack, args.records).await?;
        if args.wants(Part::Stream) {
            streams += &reading::measure(&large, stack, args).await?;
        }
        if args.wants(Part::Cursor) {
            let small = filled(bench, stack, args.in_small_log()).await?;
            cursors += &cursor::measure(&small, &large, stack, args).await?;
        }
    }
    let records = grouped(args.records as f64, 0);
    if args.wants(Part::Stream) {
        let text = format!(
            "`GET /api/data` with {records} records, to a reader that keeps none of them.\n\n{streams}"
        );
        bench.report.write("records: all of them as a stream", &text)?;
    }
    if args.wants(Part::Cursor) {
        let small = grouped(args.in_small_log() as f64, 0);
        let text = format!(
            "`GET /api/data?id=` of the last record: a small log with {small} records and a large one with {records} are \
             asked in turn, {} times each a repetition, on one kept connection each.\n\n{cursors}",
            grouped(cursor::CALLS as f64, 0)
        );
        bench.report.write("records: what came after the last one", &text)?;
    }
    Ok(())
}

async fn filled(bench: &Bench, stack: Stack, count: usize) -> Result<Service, BenchError> {
    eprintln!("{stack}: a log with {} records is made", grouped(count as f64, 0));
    let service = Service::start(&bench.program, stack, &bench.servers).await?;
    let chunks = stream::iter(lines::chunks(count).map(Ok::<_, std::io::Error>));
    service.add_lines(count, reqwest::Body::wrap_stream(chunks.into_stream())).await?;
    Ok(service)
}
