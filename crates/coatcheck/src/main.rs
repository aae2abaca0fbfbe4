//! The one binary of Coatcheck, which runs its commands. Without a command, it is the whole service in one process.

mod all_in_one;
mod cmd;
mod confirm;
mod each;
mod help;
mod md5sum;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};

/// Hand work in over HTTP, get a ticket at once, redeem it for the result
///
/// Without a command, the whole service runs in this process, with its data in `data/`; no server is needed:
/// the page is at http://127.0.0.1:9000/ and the API's description at http://127.0.0.1:9000/docs.
///
/// Each setting is a flag and an environment variable. Durations are seconds (or 200ms, 5m, 2h), sizes are bytes (or
/// 64KiB, 10MiB). A secret may also be read from the file that NAME_FILE names.
#[derive(Debug, clap::Parser)]
#[command(
    name = "coatcheck",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  coatcheck                                       run everything, on port 9000
  coatcheck --listen 0.0.0.0:80 --workers 4       the same, elsewhere
  curl -F file=@photo.jpg localhost:9000/api/v1/md5
  coatcheck put *.iso                             hash files on the server
  coatcheck sum *.iso                             hash files here"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all_in_one: all_in_one::AllInOneArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(cmd::put::PutArgs),
    Get(cmd::get::GetArgs),
    Ls(cmd::ls::LsArgs),
    Watch(cmd::watch::WatchArgs),
    Outcomes(cmd::outcomes::OutcomesArgs),
    Ops(cmd::ops::OpsArgs),
    Cancel(cmd::cancel::CancelArgs),
    Retry(cmd::retry::RetryArgs),
    Sum(cmd::sum::SumArgs),
    Simulate(cmd::simulate::SimulateArgs),
    Export(cmd::export::ExportArgs),
    User(cmd::user::UserArgs),
    Migrate(cmd::migrate::MigrateArgs),
    Verify(cmd::verify::VerifyArgs),
    Backup(cmd::backup::BackupArgs),
    // Boxed, as the worker, because it has the most settings.
    Doctor(Box<cmd::doctor::DoctorArgs>),
    Api(api::ApiArgs),
    Worker(Box<worker::WorkerArgs>),
    Providers(providers::ProvidersArgs),
    Healthcheck(cmd::healthcheck::HealthcheckArgs),
    Completions(cmd::completions::CompletionsArgs),
    Man(cmd::man::ManArgs),
}

fn main() -> ExitCode {
    // It works on files alone, and needs no runtime and no settings.
    let parsed = cmd::sum::run_if_called()
        .and_then(|arguments| program::parse_from(help::shown(Cli::command()), arguments));
    match parsed {
        Ok(cli) => program::run(run(cli)),
        Err(status) => status,
    }
}

async fn run(cli: Cli) -> ExitCode {
    match cli.command {
        None => all_in_one::run(cli.all_in_one).await,
        Some(Command::Put(args)) => cmd::put::run(args).await,
        Some(Command::Get(args)) => cmd::get::run(args).await,
        Some(Command::Ls(args)) => cmd::ls::run(args).await,
        Some(Command::Watch(args)) => cmd::watch::run(args).await,
        Some(Command::Outcomes(args)) => cmd::outcomes::run(args).await,
        Some(Command::Ops(args)) => cmd::ops::run(args).await,
        Some(Command::Cancel(args)) => cmd::cancel::run(args).await,
        Some(Command::Retry(args)) => cmd::retry::run(args).await,
        Some(Command::Sum(args)) => cmd::sum::run(args),
        Some(Command::Simulate(args)) => cmd::simulate::run(args).await,
        Some(Command::Export(args)) => cmd::export::run(args).await,
        Some(Command::User(args)) => cmd::user::run(args).await,
        Some(Command::Migrate(args)) => cmd::migrate::run(args).await,
        Some(Command::Backup(args)) => cmd::backup::run(args).await,
        Some(Command::Verify(args)) => cmd::verify::run(args).await,
        Some(Command::Doctor(args)) => cmd::doctor::run(*args).await,
        Some(Command::Api(args)) => api::run(args).await,
        Some(Command::Worker(args)) => worker::run(*args).await,
        Some(Command::Providers(args)) => providers::run(args).await,
        Some(Command::Healthcheck(args)) => cmd::healthcheck::run(args).await,
        Some(Command::Completions(args)) => cmd::completions::run(&args, described()),
        Some(Command::Man(args)) => cmd::man::run(&args, described()),
    }
}

/// Returns the command line as its help shows it.
fn described() -> clap::Command {
    program::with_config_flags(help::shown(Cli::command()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::described().debug_assert();
    }
}
