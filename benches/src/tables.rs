//! Measures tables: how fast one is accepted, and how much of the rate limit is used.

mod rate;
mod upload;

use clap::value_parser;

use crate::Bench;
use crate::error::BenchError;
use crate::service::Stack;

const MIB: usize = 2048;
const ROWS: usize = 300;
const REPEAT: u64 = 3;

/// Measure tables
#[derive(Debug, clap::Args)]
pub struct TablesArgs {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only on that stack, where there is a choice
    #[arg(long, value_enum)]
    stack: Option<Stack>,
    /// MiB of the large table
    #[arg(long, default_value_t = MIB, value_parser = parse_mib)]
    mib: usize,
    /// Rows of each of two tables that are sent
    #[arg(long, default_value_t = ROWS, value_parser = parse_rows)]
    rows: usize,
    /// How often a large table is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A large table, accepted and refused, beside a bare parse of the same bytes
    Upload,
    /// Two tables at once to a third party that answers at once
    Rate,
}

impl Default for TablesArgs {
    fn default() -> Self {
        Self { parts: Vec::new(), stack: None, mib: MIB, rows: ROWS, repeat: REPEAT }
    }
}

impl TablesArgs {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Measures all parts that were chosen.
///
/// # Errors
/// If a figure can't be measured; earlier ones are written.
pub async fn run(bench: &Bench, args: TablesArgs) -> Result<(), BenchError> {
    if args.wants(Part::Upload) {
        upload::run(bench, &args).await?;
    }
    if args.wants(Part::Rate) {
        rate::run(bench, &args).await?;
    }
    Ok(())
}

fn parse_mib(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|mib| *mib > 0).ok_or_else(|| "expected a number of MiB".to_owned())
}

fn parse_rows(text: &str) -> Result<usize, String> {
    let rows = text.parse().map_err(|_| "expected a number of rows".to_owned())?;
    (rows >= 10).then_some(rows).ok_or_else(|| "expected at least 10".to_owned())
}
