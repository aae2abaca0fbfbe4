//! Measures promises: how many a second, the cost of one, and the memory that remains.

mod folders;
mod memory;
mod rates;

use std::time::Duration;

use clap::value_parser;

use crate::Bench;
use crate::error::BenchError;
use crate::service::Stack;

const REPEAT: u64 = 3;
const SECONDS: u64 = 10;
const FILES: usize = 40_000;
const PROMISES: usize = 100_000;
/// The time before measuring starts, in which connections are opened and pools are filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measure promises: from many clients at once, to the line in the log
#[derive(Debug, clap::Args)]
pub struct PromisesArgs {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only on that stack
    #[arg(long, value_enum)]
    stack: Option<Stack>,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How long files are handed in each time
    #[arg(long, default_value_t = SECONDS, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
    /// Files that were made and deleted in the used folder
    #[arg(long, default_value_t = FILES)]
    files: usize,
    /// Promises to keep before memory is measured
    #[arg(long, default_value_t = PROMISES)]
    promises: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Small files and large ones, beside the peer if there is one
    Rates,
    /// Small files that are files on the disk, in a fresh folder and in a used one
    Folders,
    /// Memory of the processes when all is done
    Memory,
}

impl Default for PromisesArgs {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            stack: None,
            repeat: REPEAT,
            seconds: SECONDS,
            files: FILES,
            promises: PROMISES,
        }
    }
}

impl PromisesArgs {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures all parts that were chosen.
///
/// # Errors
/// If a figure can't be measured; earlier ones are written.
pub async fn run(bench: &Bench, args: &PromisesArgs) -> Result<(), BenchError> {
    if args.wants(Part::Rates) {
        rates::run(bench, args).await?;
    }
    if args.wants(Part::Folders) {
        folders::run(bench, args).await?;
    }
    if args.wants(Part::Memory) {
        memory::run(bench, args).await?;
    }
    Ok(())
}
