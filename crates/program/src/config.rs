//! The config file: its keys are the names of flags, and a flag or a variable takes precedence over it. An error is one line that names the
//! file, the line and the key.
//!
//! A value becomes the default of its setting, in each command that has the setting. A secret never stands in the file itself, but
//! `NAME-file` may name the file that holds it.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::{Arg, Command};
use nix::unistd::geteuid;
use parking_lot::Mutex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::context::Contexts;
use self::keys::{Key, Keys};
use crate::settings::read_secret;
use crate::text::without_numbers;

pub mod context;
mod keys;

/// The flag and the variable that name the file.
const FLAG: &str = "config";
const VARIABLE: &str = "COATCHECK_CONFIG";
/// The files that are read without being named: the first that exists.
const DEFAULTS: [&str; 2] = ["coatcheck.toml", "/etc/coatcheck/coatcheck.toml"];
/// The table of servers.
const CONTEXT: &str = "context";
/// Bytes up to which a file is read.
const LONGEST: u64 = 1 << 20;

/// The settings that a file has given, by their variables, with their values and their places.
static GIVEN: Mutex<Vec<Given>> = Mutex::new(Vec::new());

/// A setting of a file.
#[derive(Debug, Clone)]
struct Given {
    variable: String,
    value: String,
    /// `FILE, line N`.
    place: String,
}

/// Returns the place in the config file that a setting has its value from, such as `coatcheck.toml, line 3`; `None` if a flag or its
/// variable gave it.
pub fn place_of(variable: &str, value: &str) -> Option<String> {
    if env::var_os(variable).is_some() {
        return None;
    }
    let given = GIVEN.lock();
    let found = given.iter().find(|given| given.variable == variable && given.value == value);
    found.map(|given| given.place.clone())
}

/// Adds `--config` to each command that has settings, and `--context` to those that talk to a server.
pub fn with_flags(command: Command) -> Command {
    let has_settings = keys::settings_of(&command).next().is_some();
    let command = command.mut_subcommands(with_flags);
    if !has_settings {
        return command;
    }
    let flag = Arg::new(FLAG)
        .long(FLAG)
        .env(VARIABLE)
        .value_name("FILE")
        // Unlike a path, it may be empty: then no file is read.
        .value_parser(clap::value_parser!(OsString))
        .help_heading("Config file")
        .help(
            "The file with settings, `flag = value` a line; without it ./coatcheck.toml, else /etc/coatcheck/coatcheck.toml. A flag goes \
             before a variable, and that before the file",
        );
    context::with_flags(command.arg(flag))
}

/// Returns the arguments with flags of this module that stand before the command moved behind it, where they belong to it.
pub fn in_order(mut arguments: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let mut end = 1;
    while let Some(argument) = arguments.get(end).and_then(|argument| argument.to_str()) {
        let flag = argument.trim_start_matches("--");
        match flag.split_once('=') {
            _ if flag.len() + 2 != argument.len() => break,
            Some((FLAG | context::FLAG, _)) => end += 1,
            None if matches!(flag, FLAG | context::FLAG) => end += 2,
            _ => break,
        }
    }
    let is_command = |argument: &OsString| command.find_subcommand(argument).is_some();
    if end > 1 && arguments.get(end).is_some_and(is_command) {
        arguments[1..=end].rotate_right(1);
    }
    arguments
}

/// Returns the command with the values of the config file as the defaults of their settings; `None` without a file, or if the called
/// command has no settings.
///
/// # Errors
/// One line that names the file, the line and the key.
pub fn applied(command: &Command, arguments: &[OsString]) -> Result<Option<Command>, String> {
    let called = called(command, arguments);
    if !called.get_arguments().any(|arg| arg.get_id() == FLAG) {
        return Ok(None);
    }
    let takes_context = called.get_arguments().any(|arg| arg.get_id() == context::FLAG);
    let chosen = context::chosen(arguments).filter(|_| takes_context);
    let Some(file) = ConfigFile::find(flag(FLAG, arguments))? else {
        return match chosen {
            Some(chosen) => Err(chosen.without_file()),
            None => Ok(None),
        };
    };
    let keys = Keys::of(command);
    let (values, contexts) = file.read(&keys)?;
    let command = with_defaults(command.clone(), &values);
    GIVEN.lock().extend(values);
    match chosen {
        Some(chosen) => contexts.apply(command, chosen, &file.name, arguments).map(Some),
        None => Ok(Some(command)),
    }
}

/// Returns the command that the arguments call.
fn called<'c>(command: &'c Command, arguments: &[OsString]) -> &'c Command {
    let mut called = command;
    for argument in arguments.iter().skip(1) {
        if argument == "--" {
            break;
        }
        called = called.find_subcommand(argument).unwrap_or(called);
    }
    called
}

/// Returns the value of a flag, as far as that is known before everything is parsed.
fn flag(name: &str, arguments: &[OsString]) -> Option<OsString> {
    let flag = format!("--{name}");
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if *argument == *flag {
            return arguments.next().cloned();
        }
        let value = argument.to_str().and_then(|argument| argument.strip_prefix(&flag)?.strip_prefix('='));
        if let Some(value) = value {
            return Some(value.into());
        }
    }
    None
}

fn with_defaults(mut command: Command, values: &[Given]) -> Command {
    let ids: Vec<_> = keys::settings_of(&command)
        .filter_map(|arg| Some((arg.get_id().clone(), keys::variable(arg)?)))
        .filter_map(|(id, variable)| Some((id, values.iter().find(|given| given.variable == variable)?)))
        .collect();
    for (id, given) in ids {
        command = command.mut_arg(id, |arg| arg.default_value(given.value.clone()).required(false));
    }
    command.mut_subcommands(|command| with_defaults(command, values))
}

/// A config file that was found.
struct ConfigFile {
    /// Its path as messages name it.
    name: String,
    text: String,
}

impl ConfigFile {
    /// Reads the file that the flag or the variable names, or the first of the defaults that exists.
    fn find(by_flag: Option<OsString>) -> Result<Option<Self>, String> {
        let named = by_flag.map(|path| ("--config", path));
        let named = named.or_else(|| Some((VARIABLE, env::var_os(VARIABLE)?)));
        if let Some((setting, path)) = named {
            // An empty value means: read no file.
            return match path.is_empty() {
                true => Ok(None),
                false => Self::open(Path::new(&path), false)
                    .map(Some)
                    .map_err(|error| format!("{setting}: {}: {}", path.display(), reason(&error))),
            };
        }
        for path in DEFAULTS {
            match Self::open(Path::new(path), true) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(format!("{path}: {}", reason(&error))),
            }
        }
        Ok(None)
    }

    fn open(path: &Path, is_own: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        let owner = file.metadata()?.uid();
        // Found in a folder of another user, it could send this user's key to a server of theirs.
        if is_own && owner != 0 && owner != geteuid().as_raw() {
            let advice = "the file belongs to another user; if you trust it, name it with --config";
            return Err(io::Error::other(advice));
        }
        let mut text = String::new();
        if file.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
            return Err(io::Error::other("expected at most 1 MiB"));
        }
        Ok(Self { name: path.display().to_string(), text })
    }

    /// Returns the settings and the contexts.
    fn read(&self, keys: &Keys<'_>) -> Result<(Vec<Given>, Contexts), String> {
        let table = DeTable::parse(&self.text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            format!("{}: expected TOML: {message}", self.place(error.span().unwrap_or_default()))
        })?;
        let (mut values, mut contexts) = (Vec::new(), Contexts::default());
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let place = self.place(key.span());
            if name == CONTEXT {
                contexts = Contexts::read(value, |span| self.place(span))?;
                continue;
            }
            let told = |reason: String| format!("{place}: {name}: {reason}");
            let key = keys.find(name).map_err(told)?;
            let text = text(value, &key).map_err(told)?;
            let (variable, value) = match key {
                Key::Setting(arg) => {
                    keys::check(arg, &text).map_err(told)?;
                    (keys::variable(arg).unwrap_or_default().to_owned(), text)
                }
                // Read only where no variable gives it, because that goes before the file.
                Key::SecretFile(variable) if is_given(variable) => continue,
                Key::SecretFile(variable) => {
                    let secret = read_secret(variable, Path::new(&text)).map_err(|error| {
                        told(error.trim_start_matches(&format!("{variable}_FILE: ")).to_owned())
                    })?;
                    (variable.to_owned(), secret)
                }
            };
            values.push(Given { variable, value, place });
        }
        Ok((values, contexts))
    }

    /// Returns the place of a part of the file, for a message.
    fn place(&self, span: Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        format!("{}, line {}", self.name, before.matches('\n').count() + 1)
    }
}

fn is_given(variable: &str) -> bool {
    [variable, &format!("{variable}_FILE")].iter().any(|name| env::var_os(name).is_some())
}

fn reason(error: &io::Error) -> String {
    without_numbers(&error.to_string())
}

/// Returns a value as the text that a flag would have.
fn text(value: &Spanned<DeValue<'_>>, key: &Key<'_>) -> Result<String, String> {
    let expected = key.expected();
    match value.get_ref() {
        DeValue::Array(values) if key.is_list() => {
            let words = values.iter().map(|value| match value.get_ref() {
                DeValue::String(word) if !word.contains(',') => Ok(word.as_ref()),
                other => Err(format!("expected {expected}, got {} in the array", other_than_text(other))),
            });
            Ok(words.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        DeValue::String(text) if key.takes_text() => Ok(text.as_ref().to_owned()),
        DeValue::Integer(number) if key.takes_numbers() && number.radix() == 10 => {
            Ok(number.as_str().replace('_', ""))
        }
        DeValue::Float(number) if key.takes_numbers() => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(is) if key.takes_booleans() => Ok(is.to_string()),
        other => Err(format!("expected {expected}, got {}", other_than_text(other))),
    }
}

fn other_than_text(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
