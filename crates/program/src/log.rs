//! Log lines, to standard error.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{variable, warn_of_early};

/// The parts of this program, by their names in `RUST_LOG`.
const OURS: [&str; 13] = [
    "access_log",
    "accounts",
    "api",
    "client",
    "coatcheck",
    "database",
    "limits",
    "md5_lanes",
    "program",
    "providers",
    "shared_log",
    "task_data",
    "worker",
];
/// Libraries that log too much, and the most verbose level of each.
const TALKATIVE: [(&str, LevelFilter); 3] =
    [("actix_server", LevelFilter::WARN), ("actix_http", LevelFilter::OFF), ("lapin", LevelFilter::OFF)];

/// Libraries whose log lines can be selected, by the beginnings of their names: a target stands for all that begin so.
const LIBRARIES: [&str; 11] =
    ["actix", "amq", "deadpool", "hickory", "hyper", "lapin", "mio", "redis", "reqwest", "rustls", "tokio"];

/// Whether an error that stops the program before it serves is written as a log line in JSON.
static TELLS_JSON: AtomicBool = AtomicBool::new(false);

/// How log lines are written.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// The format of log lines, on standard error. `RUST_LOG` selects them: a level, and levels of single parts, such as
    /// info,worker=debug
    #[arg(long, env, value_name = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    /// Writes log lines from now on: as JSON, or as text, with colours only on a terminal.
    ///
    /// # Errors
    /// If `RUST_LOG` is not a filter, in one line that names it.
    pub fn start(self) -> Result<(), String> {
        if let LogFormat::Json = self.log_format {
            tell_json();
        }
        let given = variable("RUST_LOG")?.unwrap_or_default();
        let filter = filter(&given)?;
        let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(stderr);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(stderr().is_terminal()).finish().with(filter).init(),
            LogFormat::Json => lines.json().finish().with(filter).init(),
        }
        if let Some(line) = unknown_parts(&given) {
            warn!("{line}");
        }
        warn_of_early();
        Ok(())
    }
}

/// From now on, writes errors that stop the program in JSON.
pub(crate) fn tell_json() {
    TELLS_JSON.store(true, Relaxed);
}

/// Writes an error that stops the program as a log line in JSON, if log lines are in JSON; whatever `RUST_LOG` selects. Returns whether it
/// did.
pub(crate) fn told_in_json(line: &str) -> bool {
    let tells_json = TELLS_JSON.load(Relaxed);
    if tells_json {
        let lines = tracing_subscriber::fmt().with_writer(stderr).json().finish();
        tracing::subscriber::with_default(lines, || error!("{line}"));
    }
    tells_json
}

fn filter(given: &str) -> Result<Targets, String> {
    directives(given)?.parse().map_err(|error| {
        format!("RUST_LOG: expected levels such as info,worker=debug, got {given:?}: {error}; see --help")
    })
}

/// Returns the directives of a filter: the given ones, preceded by defaults. A general level applies to the parts of this program;
/// libraries log at `info` at most, unless they are named.
fn directives(given: &str) -> Result<String, String> {
    let (mut general, mut named) = (LevelFilter::INFO, Vec::new());
    for piece in given.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
        match piece.parse::<LevelFilter>() {
            Ok(level) => general = level,
            Err(_) if is_of_a_part(piece) => named.push(piece.to_owned()),
            Err(_) => {
                return Err(format!(
                    "RUST_LOG: expected a level (error, warn, info, debug, trace, off) or PART=LEVEL, got {piece:?}; parts: {}",
                    OURS.join(", ")
                ));
            }
        }
    }
    let mut directives = vec![general.min(LevelFilter::INFO).to_string()];
    directives.extend(OURS.map(|part| format!("{part}={general}")));
    directives.extend(TALKATIVE.map(|(library, most)| format!("{library}={}", most.min(general))));
    directives.extend(named);
    Ok(directives.join(","))
}

/// Returns a warning about targets of a filter that select nothing, as far as is known: a library that is missing in [`LIBRARIES`] may log
/// all the same.
fn unknown_parts(given: &str) -> Option<String> {
    let family = |part: &str| part.split('_').next().unwrap_or_default().to_owned();
    let is_known = |part: &&str| OURS.contains(part) || LIBRARIES.contains(&&*family(part));
    let parts = given.split(',').filter_map(|directive| {
        let directive = directive.trim();
        let target = directive.split('=').next().unwrap_or_default();
        let part = target.split("::").next().unwrap_or_default();
        (!part.is_empty() && directive.parse::<LevelFilter>().is_err()).then_some(part)
    });
    let unknown: Vec<&str> = parts.filter(|part| !is_known(part)).collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "RUST_LOG: {} selects nothing known; parts: {}; libraries: {}",
            unknown.join(", "),
            OURS.join(", "),
            LIBRARIES.join(", ")
        )
    })
}

/// Returns whether a directive names a part: `worker=debug`, or one of our parts alone. Any other word alone would count as
/// a part too, of which everything is logged, and of all others nothing.
fn is_of_a_part(directive: &str) -> bool {
    let name = directive.split("::").next().unwrap_or_default();
    let has_level = |(part, level): (&str, &str)| {
        !part.is_empty() && !part.contains('[') && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    };
    OURS.contains(&name) || directive.rsplit_once('=').is_some_and(has_level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &str, part: &str) -> String {
        let directives = directives(given).unwrap();
        // As in the filter: the last directive of a name counts.
        let named =
            directives.rsplit(',').find_map(|one| one.strip_prefix(&format!("{part}=")).map(str::to_owned));
        named.unwrap_or_else(|| directives.split(',').next().unwrap().to_owned())
    }

    #[test]
    fn a_general_level_opens_no_library() {
        for (given, worker, hyper, lapin) in [
            ("", "info", "info", "off"),
            ("info,task_data=debug", "info", "info", "off"),
            ("debug", "debug", "info", "off"),
            ("TRACE", "trace", "info", "off"),
            ("error", "error", "error", "off"),
            ("debug,lapin=info,hyper=debug", "debug", "debug", "info"),
            ("warn,worker=trace", "trace", "warn", "off"),
        ] {
            let found = ["worker", "hyper", "lapin"].map(|part| of(given, part));
            assert_eq!(found, [worker, hyper, lapin], "{given}");
            assert!(filter(given).is_ok(), "{given}");
        }
        assert_eq!([of("debug", "actix_server"), of("error", "actix_server")], ["warn", "error"]);
    }

    #[test]
    fn a_target_that_is_not_known_is_named() {
        for (given, named) in [
            ("info,wroker=debug", Some("wroker")),
            ("coatchek::cmd=debug, hper=trace,worker=debug", Some("coatchek, hper")),
            ("", None),
            ("debug", None),
            ("worker,coatcheck::cmd=debug,hyper=debug,hyper_util::client=trace,info", None),
        ] {
            let told = unknown_parts(given);
            let begin = named.map(|named| format!("RUST_LOG: {named} selects nothing"));
            assert_eq!(told.is_some(), begin.is_some(), "{given}: {told:?}");
            assert!(told.unwrap_or_default().starts_with(&begin.unwrap_or_default()), "{given}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused_by_name() {
        for wrong in
            ["verbose", "info,worker=loud", "worker=", "info debug", "=", "inf0", "api[request]=debug"]
        {
            let error = filter(wrong).err().unwrap_or_else(|| panic!("{wrong} is taken"));
            assert!(error.starts_with("RUST_LOG: ") && !error.contains('\n'), "{error}");
        }
        for right in ["worker", "coatcheck::cmd", "off", "5", " info , worker=debug "] {
            assert!(filter(right).is_ok(), "{right}");
        }
    }
}
