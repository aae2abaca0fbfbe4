//! `coatcheck doctor`: looks at each setting and server, and says what to do.

use std::process::ExitCode;

use api::ApiSettings;
use client::ServerArgs;
use console::Style;
use program::{refuse, unwritten, without_passwords};
use task_data::settings::Settings;
use worker::WorkerSettings;

mod files;
mod port;
mod servers;

/// Say of each setting and server whether it is fine, or what to do
///
/// It looks at what a program with the same settings would use. With a sqlite: database, the embedded form: the folders take writes, the
/// disk has room, the address is free or held by whom, the clock is not behind the data. With postgres://, the distributed form: the database, its
/// schema and its clock, the broker, Redis, the folder of uploads, the outcome log. Then at the server at COATCHECK_URL, if one answers
/// there, and whether it accepts the API key. It changes nothing, and may be called beside a running server.
///
/// A line each, which begins with ok, note (worth to know, nothing has to be done) or wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 nothing is wrong; 1 something is; 2 wrong usage, or a setting that no program accepts.

Examples:
  coatcheck doctor
  coatcheck doctor | grep ^wrong
  DATABASE_URL_FILE=/run/secrets/database-url coatcheck doctor
  coatcheck doctor --url https://hasher.example")]
pub struct DoctorArgs {
    #[command(flatten)]
    api: ApiSettings,
    #[command(flatten)]
    promises: Settings,
    // Not looked at, but parsed: a wrong one is told.
    #[command(flatten)]
    _worker: WorkerSettings,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Note,
    Wrong,
}

/// A line of the report.
#[derive(Debug)]
struct Finding {
    state: State,
    /// The setting that names it.
    setting: &'static str,
    text: String,
}

impl Finding {
    fn ok(setting: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Ok, setting, text: text.into() }
    }

    fn note(setting: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Note, setting, text: text.into() }
    }

    fn wrong(setting: &'static str, text: impl Into<String>) -> Self {
        Self { state: State::Wrong, setting, text: text.into() }
    }

    fn line(&self) -> String {
        let (word, colour) = match self.state {
            State::Ok => ("ok", Style::new().green()),
            State::Note => ("note", Style::new().yellow()),
            State::Wrong => ("wrong", Style::new().red()),
        };
        let line = format!("{}: {}", self.setting, self.text);
        let word = colour.apply_to(word).for_stdout();
        format!("{word} {}\n", program::visible(&without_passwords(&line)))
    }
}

/// Runs the command; returns its exit status.
pub async fn run(args: DoctorArgs) -> ExitCode {
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    let settings = &args.promises;
    let is_embedded = settings.database_url.starts_with("sqlite:");
    let findings = async {
        let mut findings = match is_embedded {
            true => servers::of_embedded(settings),
            false => servers::of_distributed(settings).await,
        };
        findings.extend(files::all(settings, args.api.min_free_disk, is_embedded));
        findings.push(port::free(args.api.listen));
        findings.extend(servers::api(&client, args.server.is_default()).await);
        findings
    };
    let findings = findings.await;
    let report: String = findings.iter().map(Finding::line).collect();
    // Colours are not what a terminal must be kept from.
    if let Err(error) = program::print(report.as_bytes()) {
        return unwritten(&error);
    }
    match findings.iter().any(|finding| finding.state == State::Wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
