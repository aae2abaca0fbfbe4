//! MD5: the kernels in cache, and `coatcheck sum` and a worker beside `md5sum`.

mod files;
mod kernels;
mod worker;

use crate::Bench;
use crate::error::BenchError;

/// Measure MD5
#[derive(Debug, clap::Args)]
pub struct DigestsArgs {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each figure is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// MiB of each of the 200 large files
    #[arg(long, default_value_t = 16)]
    mib: usize,
    /// How many uploads of 100 MiB a worker finds
    #[arg(long, default_value_t = 64)]
    uploads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Each set of instructions, beside OpenSSL
    Kernels,
    /// `coatcheck sum`, beside `md5sum`
    Files,
    /// A worker, beside `md5sum`
    Worker,
}

impl Default for DigestsArgs {
    fn default() -> Self {
        Self { parts: Vec::new(), repeat: 3, mib: 16, uploads: 64 }
    }
}

impl DigestsArgs {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Measures all parts that were chosen.
///
/// # Errors
/// If a figure can't be measured; earlier ones are written.
pub async fn run(bench: &Bench, args: &DigestsArgs) -> Result<(), BenchError> {
    if args.wants(Part::Kernels) {
        kernels::run(bench, args.repeat)?;
    }
    if args.wants(Part::Files) {
        files::run(bench, args)?;
    }
    if args.wants(Part::Worker) {
        worker::run(bench, args).await?;
    }
    Ok(())
}
