//! Reads the command line and the environment. An error is one line that names the setting, with exit status 2.

use std::env::{self, VarError};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser};
use parking_lot::{Mutex, MutexGuard};
use tracing::dispatcher::has_been_set;
use tracing::warn;

use crate::config;
use crate::log;
use crate::output::{complain, is_open, unwritten};
use crate::text::{without_numbers, without_passwords};
use crate::usage::told;

/// Settings that are or may contain a secret, and so can be given as a file's name in `NAME_FILE` too.
pub(crate) const SECRETS: [&str; 6] =
    ["DATABASE_URL", "AMQP_URL", "REDIS_URL", "FREE_URL", "PAID_URL", "THIRD_PARTY_URL"];
/// The folder where container runtimes mount secrets, with the modes that they have outside: only this program sees it.
const MOUNTED: &str = "/run/secrets";

/// Warnings from before log lines were started.
static EARLY: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Whether the command writes log lines, so that earlier warnings wait for them.
static WAITS_FOR_LOG_LINES: AtomicBool = AtomicBool::new(false);

/// Parses the command line and the environment, or prints an error in one line; the program must then end with the returned status.
///
/// # Errors
/// 0 after `--help` and `--version`, 1 if those could not be printed, 2 if a setting is invalid.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    parse_from(T::command(), env::args_os().collect())
}

/// Parses as [`parse`] does, with a command whose help differs from the type's own, and with these arguments, of which the first is the
/// program's name.
///
/// # Errors
/// As [`parse`].
pub fn parse_from<T: Parser>(command: Command, given: Vec<OsString>) -> Result<T, ExitCode> {
    let given = config::in_order(given, &command);
    let arguments: Vec<String> = given.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let called = arguments.iter().find_map(|arg| command.find_subcommand(arg)).unwrap_or(&command);
    let has_log_lines = called.get_arguments().any(|arg| arg.get_id() == "log_format");
    WAITS_FOR_LOG_LINES.store(has_log_lines, Relaxed);
    if has_log_lines && asks_for_json(&arguments) {
        log::tell_json();
    }
    let command = config::with_flags(command);
    let configured = config::applied(&command, &given);
    let mut command = with_secret_files(command).map_err(|line| refuse(&line))?;
    let mut parsed = command.try_get_matches_from_mut(&given);
    // Help is the same whatever a config file has.
    if !parsed.as_ref().is_err_and(is_help)
        && let Some(configured) = configured.transpose()
    {
        command = configured.and_then(with_secret_files).map_err(|line| refuse(&line))?;
        parsed = command.try_get_matches_from_mut(&given);
    }
    parsed.and_then(|mut matches| T::from_arg_matches_mut(&mut matches)).map_err(|error| {
        match is_help(&error) {
            true => {
                let printed = is_open().and_then(|()| error.print()).and_then(|()| io::stdout().flush());
                printed.map_or_else(|error| unwritten(&error), |()| ExitCode::SUCCESS)
            }
            false => refuse(&told(&without_secret(error), &arguments, &command)),
        }
    })
}

/// Returns whether an error of the parser is what `--help` or `--version` prints.
fn is_help(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Returns whether log lines are to be JSON, as far as that is known before everything is parsed.
fn asks_for_json(arguments: &[String]) -> bool {
    let flag = arguments.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("--log-format")? {
        "" => arguments.get(at + 1).map(String::as_str),
        value => value.strip_prefix('='),
    });
    let variable = env::var("LOG_FORMAT").ok();
    flag.or(variable.as_deref()) == Some("json")
}

/// Removes the value from clap's error about a setting that is or may contain a secret.
fn without_secret(mut error: clap::Error) -> clap::Error {
    let is_of_secret = |context: &ContextValue| match context {
        ContextValue::String(arg) => SECRETS.iter().any(|name| arg.contains(&format!("<{name}>"))),
        _ => false,
    };
    if error.get(ContextKind::InvalidArg).is_some_and(is_of_secret) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

/// Prints in one line why the program does not start. Returns the exit status 2. Hides passwords in URLs, and characters that a terminal
/// acts on.
pub fn refuse(line: &str) -> ExitCode {
    let line = without_passwords(line);
    if !log::told_in_json(&line) {
        complain(&line);
    }
    ExitCode::from(2)
}

/// Returns why an address could not be bound, in one line that names the setting and the address.
pub fn taken_address(setting: &str, address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{setting}: another program listens on {address}; stop it, or choose another address")
        }
        _ => format!("{setting}: {address}: {error}"),
    }
}

/// Returns a secret that has no flag, because other users can see command lines: the value of `NAME`, or the content of a file. `file` is
/// the value of the flag `--name-file`, if there is one, or of `NAME_FILE`. The flag takes precedence over `NAME`, and that over
/// `NAME_FILE`, and that over the file that a config file names.
///
/// # Errors
/// One line that names the setting and says what is wrong.
pub fn secret(name: &str, file: Option<&Path>) -> Result<Option<String>, String> {
    let file_name = format!("{name}_FILE");
    let by_variable = env::var_os(&file_name);
    let by_config = file.filter(|file| config::place_of(&file_name, &file.to_string_lossy()).is_some());
    let by_flag = file.filter(|file| by_config.is_none() && by_variable.as_deref() != Some(file.as_os_str()));
    if let Some(by_flag) = by_flag {
        return read_secret(name, by_flag).map(Some);
    }
    let has_file = by_variable.is_some() || by_config.is_some();
    match variable(name)? {
        // Set to nothing, as compose files do with what they leave out, it stands in no file's way.
        Some(secret) if !secret.is_empty() || !has_file => Ok(Some(secret)),
        _ => match by_config {
            Some(by_config) => read_secret(name, by_config).map(Some),
            None => secret_of_file(name),
        },
    }
}

/// Returns the value of an environment variable, if it is set.
///
/// # Errors
/// If the value is not valid UTF-8, in one line that names the variable.
pub fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name}: expected valid UTF-8")),
    }
}

/// Logs the warnings from before log lines were started.
pub(crate) fn warn_of_early() {
    early().drain(..).for_each(|line| warn!("{line}"));
}

/// Prints those warnings, if a command with log lines ends before it has started them.
pub(crate) fn tell_early() {
    if WAITS_FOR_LOG_LINES.load(Relaxed) {
        early().drain(..).for_each(|line| complain(&line));
    }
}

fn early() -> MutexGuard<'static, Vec<String>> {
    EARLY.lock()
}

/// Formats an error and all its causes in one line.
pub fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    without_numbers(&line.replace('\n', " "))
}

/// Makes the content of `NAME_FILE` the default of `NAME`; so a flag and `NAME` itself take precedence.
fn with_secret_files(mut command: Command) -> Result<Command, String> {
    let secrets: Vec<Arg> =
        command.get_arguments().filter(|arg| secret_name(arg).is_some()).cloned().collect();
    for arg in secrets {
        let Some(name) = secret_name(&arg) else { continue };
        let Some(secret) = secret_of_file(name)? else { continue };
        command =
            command.mut_arg(arg.get_id().clone(), |arg| arg.default_value(secret).hide_default_value(true));
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let mut failure = None;
        command = command.mut_subcommand(name, |sub| {
            with_secret_files(sub.clone()).unwrap_or_else(|line| {
                failure = Some(line);
                sub
            })
        });
        if let Some(line) = failure {
            return Err(line);
        }
    }
    Ok(command)
}

fn secret_of_file(name: &str) -> Result<Option<String>, String> {
    let Some(path) = env::var_os(format!("{name}_FILE")) else { return Ok(None) };
    read_secret(name, Path::new(&path)).map(Some)
}

/// Reads the secret of that name from a file.
///
/// # Errors
/// One line that names the setting, `NAME_FILE`.
pub fn read_secret(name: &str, path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| {
        format!("{name}_FILE: {}: {}", path.display(), without_numbers(&error.to_string()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 && !path.starts_with(MOUNTED) {
        let mode = mode & 0o777;
        warn_once(format!(
            "{name}_FILE: {}: other users can read this secret (mode {mode:o}); run chmod 600 on it",
            path.display()
        ));
    }
    let mut secret = String::new();
    file.read_to_string(&mut secret).map_err(failed)?;
    secret.truncate(secret.trim_end_matches(['\n', '\r']).len());
    if secret.is_empty() {
        return Err(format!("{name}_FILE: {}: the file is empty", path.display()));
    }
    Ok(secret)
}

/// Logs a warning as soon as log lines are started, or prints it at once if the command writes none. Only once: a setting is read for each
/// command that has it.
fn warn_once(line: String) {
    if has_been_set() {
        return warn!("{line}");
    }
    let mut early = early();
    if early.contains(&line) {
        return;
    }
    if !WAITS_FOR_LOG_LINES.load(Relaxed) {
        complain(&line);
    }
    early.push(line);
}

fn secret_name(arg: &Arg) -> Option<&str> {
    arg.get_env()?.to_str().filter(|name| SECRETS.contains(name))
}
