//! The keys of a config file: the settings of all commands.

use std::any::TypeId;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, Command};
use strsim::osa_distance;

use crate::settings::SECRETS;
use crate::text::without_passwords;
use crate::usage;

/// Settings that have several values with commas between.
const LISTS: [&str; 4] = ["ALLOWED_HOSTS", "CORS_ORIGINS", "TRUSTED_PROXIES", "WEBHOOK_ALLOW"];
/// The greatest number of slips in a key for which another one is offered.
const SLIPS: usize = 2;

/// A key that is known.
pub enum Key<'a> {
    Setting(&'a Arg),
    /// The file of a secret, by the variable of the secret.
    SecretFile(&'static str),
}

/// The keys of all commands.
pub struct Keys<'a> {
    settings: Vec<&'a Arg>,
}

/// Returns the arguments of a command that are settings: they have a flag and a variable.
pub fn settings_of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some() && variable(arg).is_some())
}

/// Returns the variable of a setting.
pub fn variable(arg: &Arg) -> Option<&str> {
    arg.get_env()?.to_str()
}

impl<'a> Keys<'a> {
    pub fn of(command: &'a Command) -> Self {
        let mut settings: Vec<&Arg> = settings_of(command).collect();
        settings.extend(command.get_subcommands().flat_map(|command| Self::of(command).settings));
        // The flags that name the file itself.
        settings.retain(|arg| arg.get_id() != super::FLAG && arg.get_id() != super::context::FLAG);
        Self { settings }
    }

    /// Returns the key of that name.
    ///
    /// # Errors
    /// One line for a person, if no command has it.
    pub fn find(&self, name: &str) -> Result<Key<'a>, String> {
        let has_it = |arg: &&&Arg| arg.get_long() == Some(name) || aliases(arg).any(|alias| alias == name);
        if let Some(arg) = self.settings.iter().find(has_it) {
            return Ok(Key::Setting(arg));
        }
        if let Some(secret) = SECRETS.into_iter().find(|secret| file_key(secret) == name) {
            return Ok(Key::SecretFile(secret));
        }
        let names = self.settings.iter().filter_map(|arg| arg.get_long()).map(str::to_owned);
        let names = names.chain(SECRETS.map(file_key)).chain(["context".to_owned()]);
        // A secret has no key, but the key of its file has its name.
        let file = format!("{name}-file");
        let near = names
            .map(|known| {
                (if known == file { 0 } else { osa_distance(&known, &name.replace('_', "-")) }, known)
            })
            .min()
            .filter(|(slips, _)| *slips <= SLIPS);
        Err(match near {
            Some((_, near)) => format!("expected a setting's name, such as {near}"),
            None => "expected a setting's name; coatcheck --help lists them".to_owned(),
        })
    }
}

/// Returns the key that names the file of a secret.
fn file_key(secret: &str) -> String {
    format!("{}-file", secret.to_lowercase().replace('_', "-"))
}

fn aliases(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_all_aliases().into_iter().flatten()
}

impl Key<'_> {
    fn is_of<T: 'static>(&self) -> bool {
        match self {
            Self::Setting(arg) => arg.get_value_parser().type_id() == TypeId::of::<T>(),
            Self::SecretFile(_) => TypeId::of::<PathBuf>() == TypeId::of::<T>(),
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Self::Setting(arg) if variable(arg).is_some_and(|name| LISTS.contains(&name)))
    }

    pub fn takes_booleans(&self) -> bool {
        self.is_of::<bool>()
    }

    /// Numbers with a unit are text too; the setting itself says which it takes.
    pub fn takes_numbers(&self) -> bool {
        !self.takes_booleans() && !self.is_list() && !self.is_of::<String>() && !self.is_of::<PathBuf>()
    }

    pub fn takes_text(&self) -> bool {
        !self.takes_booleans()
    }

    pub fn expected(&self) -> &'static str {
        match self {
            _ if self.takes_booleans() => "true or false",
            _ if self.is_list() => "an array of strings",
            _ if self.takes_numbers() => "a string or a number",
            _ => "a string",
        }
    }
}

/// Checks a value as its flag would be.
///
/// # Errors
/// One line: the expected value, and the given one.
pub fn check(arg: &Arg, value: &str) -> Result<(), String> {
    let is_secret = variable(arg).is_some_and(|name| SECRETS.contains(&name));
    if is_secret && without_passwords(value) != value {
        let file = variable(arg).map(file_key).unwrap_or_default();
        return Err(format!(
            "expected a URL without a password; write the whole URL to a file, and name that by {file}"
        ));
    }
    let parser: ValueParser = arg.get_value_parser().clone();
    let alone = Arg::new("value").long("value").value_name("VALUE").value_parser(parser);
    let parsed =
        Command::new("config").arg(alone).try_get_matches_from(["config", &format!("--value={value}")]);
    parsed.map(drop).map_err(|error| {
        let reason = usage::expected(&error).unwrap_or_else(|| "expected a value".to_owned());
        if is_secret || reason.contains(", got ") { reason } else { format!("{reason}, got {value:?}") }
    })
}
