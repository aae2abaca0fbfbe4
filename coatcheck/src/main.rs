//! Coatcheck's one binary: a match over its commands. Bare, it is the whole service in one process.

mod all_in_one;
mod client;
mod cmd;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Subcommand;
use tracing_subscriber::EnvFilter;

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
  coatcheck put *.iso                             hash files on the server"
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
    Migrate(cmd::migrate::MigrateArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = match settings::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match cli.command {
        None => all_in_one::run(cli.all_in_one).await,
        Some(Command::Put(args)) => cmd::put::run(args).await,
        Some(Command::Get(args)) => cmd::get::run(args).await,
        Some(Command::Migrate(args)) => cmd::migrate::run(&args),
    }
}

/// How log lines are written, to standard error. `RUST_LOG` says which.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Logging")]
struct LogArgs {
    /// How log lines are written
    #[arg(long, env, value_name = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    fn start(self) {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}

/// An error and all that caused it, in one line.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line.replace('\n', " ")
}
