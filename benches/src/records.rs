//! Measures the access log: lines in, records out.

mod cursor;
mod intake;
mod large;
mod peer;
mod single;
mod stream;

use std::time::Duration;

use clap::value_parser;

use crate::Bench;
use crate::error::BenchError;
use crate::service::Stack;

const RECORDS: usize = 5_000_000;
const REPEAT: u64 = 3;
const SECONDS: u64 = 10;

/// Measure the access log
#[derive(Debug, clap::Args)]
pub struct RecordsArgs {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only on that stack
    #[arg(long, value_enum)]
    stack: Option<Stack>,
    /// Records of the large log. A fifth of them is appended in one body; the small log has a five-hundredth
    #[arg(long, default_value_t = RECORDS, value_parser = parse_records)]
    records: usize,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How long single posts are sent each time
    #[arg(long, default_value_t = SECONDS, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Many lines in one body, into an empty log
    Intake,
    /// All records, to a reader that keeps none
    Stream,
    /// The records after a given one, in a small log and in a large one
    Cursor,
    /// A line a request, beside the same in FastAPI and SQLAlchemy
    Single,
}

impl Default for RecordsArgs {
    fn default() -> Self {
        Self { parts: Vec::new(), stack: None, records: RECORDS, repeat: REPEAT, seconds: SECONDS }
    }
}

impl RecordsArgs {
    fn stacks(&self) -> Vec<Stack> {
        Stack::chosen(self.stack)
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn at_once(&self) -> usize {
        self.records / 5
    }

    fn in_small_log(&self) -> usize {
        self.records / 500
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures all parts that were chosen.
///
/// # Errors
/// If a figure can't be measured; earlier ones are written.
pub async fn run(bench: &Bench, args: RecordsArgs) -> Result<(), BenchError> {
    if args.wants(Part::Intake) {
        intake::run(bench, &args).await?;
    }
    if args.wants(Part::Stream) || args.wants(Part::Cursor) {
        large::run(bench, &args).await?;
    }
    if args.wants(Part::Single) {
        single::run(bench, &args).await?;
    }
    Ok(())
}

fn parse_records(text: &str) -> Result<usize, String> {
    let records = text.parse().map_err(|_| "expected a number of records".to_owned())?;
    (records >= 500).then_some(records).ok_or_else(|| "expected at least 500".to_owned())
}
