//! Log lines, to standard error.

use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// How log lines are written, to standard error; `RUST_LOG` says which
    #[arg(long, env, value_name = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    /// Writes log lines from now on, as text with colours on a terminal alone, or as JSON.
    pub fn start(self) {
        let filter = EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off,lapin=off"));
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(stderr().is_terminal()).init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}
