//! Contexts: the servers that client commands can choose among by name, `[context.NAME]` in the config file.

use std::env;
use std::ffi::OsString;
use std::ops::Range;
use std::sync::OnceLock;

use clap::builder::Resettable;
use clap::{Arg, Command};
use strsim::osa_distance;
use toml::Spanned;
use toml::de::DeValue;

use super::{flag, other_than_text};

/// The flag and the variable that choose a context.
pub const FLAG: &str = "context";
const VARIABLE: &str = "COATCHECK_CONTEXT";
/// The settings of a server that a context gives.
const URL: (&str, &str) = ("url", "COATCHECK_URL");
const TOKEN_FILE: &str = "coatcheck_token_file";
/// The keys of a context.
const KEYS: [&str; 3] = ["url", "token-file", "production"];

/// The context that the command works in.
static CURRENT: OnceLock<Context> = OnceLock::new();

/// A server by its name.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name in the config file.
    pub name: String,
    /// Its address.
    pub url: String,
    token_file: Option<String>,
    /// Whether changes there have to be confirmed.
    pub is_production: bool,
}

/// Returns the context that the command works in, if one was chosen.
pub fn current() -> Option<&'static Context> {
    CURRENT.get()
}

/// The contexts of a file, in the order of their names.
#[derive(Debug, Default)]
pub struct Contexts(Vec<Context>);

/// A context's name, and how it was chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    name: String,
    is_by_flag: bool,
}

/// Adds `--context` to a command that talks to a server.
pub fn with_flags(command: Command) -> Command {
    if !command.get_arguments().any(|arg| arg.get_id() == TOKEN_FILE) {
        return command;
    }
    let context = Arg::new(FLAG)
        .long(FLAG)
        .env(VARIABLE)
        .value_name("NAME")
        .help_heading("Config file")
        .help("The server to talk to, by its name in the config file: `[context.NAME]` with url, token-file and production");
    command.arg(context)
}

/// Returns the context that the arguments or the variable choose.
pub fn chosen(arguments: &[OsString]) -> Option<Chosen> {
    let text = |name: OsString| name.to_string_lossy().into_owned();
    if let Some(name) = flag(FLAG, arguments) {
        return Some(Chosen { name: text(name), is_by_flag: true });
    }
    // The flag of the address goes before the variable of the context.
    let name = env::var_os(VARIABLE).filter(|name| !name.is_empty() && flag(URL.0, arguments).is_none())?;
    Some(Chosen { name: text(name), is_by_flag: false })
}

impl Chosen {
    const fn setting(&self) -> &'static str {
        if self.is_by_flag { "--context" } else { VARIABLE }
    }

    /// Returns the error of a choice without a config file.
    pub fn without_file(&self) -> String {
        format!(
            "{}: expected a config file with [context.{}]; name it with --config",
            self.setting(),
            self.name
        )
    }
}

impl Contexts {
    /// Reads the table of contexts.
    ///
    /// # Errors
    /// One line that names the place and the key.
    pub fn read(
        table: &Spanned<DeValue<'_>>,
        place: impl Fn(Range<usize>) -> String,
    ) -> Result<Self, String> {
        let wrong = |at: Range<usize>, name: &str, got: &DeValue<'_>| {
            let got = other_than_text(got);
            format!("{}: context{name}: expected a table such as [context.NAME], got {got}", place(at))
        };
        let DeValue::Table(contexts) = table.get_ref() else {
            return Err(wrong(table.span(), "", table.get_ref()));
        };
        let mut read = Vec::new();
        for (name, value) in contexts {
            let name = name.get_ref();
            let DeValue::Table(fields) = value.get_ref() else {
                return Err(wrong(value.span(), &format!(".{name}"), value.get_ref()));
            };
            let (mut url, mut token_file, mut is_production) = (None, None, false);
            for (key, value) in fields {
                let told = |reason: String| {
                    format!("{}: context.{name}.{}: {reason}", place(key.span()), key.get_ref())
                };
                let expected =
                    |words: &str| told(format!("expected {words}, got {}", other_than_text(value.get_ref())));
                match (key.get_ref().as_ref(), value.get_ref()) {
                    ("url", DeValue::String(text)) => url = Some(text.as_ref().to_owned()),
                    ("token-file", DeValue::String(text)) => token_file = Some(text.as_ref().to_owned()),
                    ("production", DeValue::Boolean(is)) => is_production = *is,
                    ("url" | "token-file", _) => return Err(expected("a string")),
                    ("production", _) => return Err(expected("true or false")),
                    (other, _) => {
                        let near = KEYS.into_iter().min_by_key(|known| osa_distance(known, other));
                        return Err(told(format!(
                            "expected url, token-file or production, such as {}",
                            near.unwrap_or("url")
                        )));
                    }
                }
            }
            let Some(url) = url else {
                return Err(format!("{}: context.{name}: expected its url", place(value.span())));
            };
            read.push(Context { name: name.as_ref().to_owned(), url, token_file, is_production });
        }
        Ok(Self(read))
    }

    /// Makes the chosen context the server of the commands.
    ///
    /// # Errors
    /// One line, if the file does not have it, or another setting names a server too.
    pub fn apply(
        self,
        command: Command,
        chosen: Chosen,
        file: &str,
        arguments: &[OsString],
    ) -> Result<Command, String> {
        let (setting, name) = (chosen.setting(), &chosen.name);
        let rival = match chosen.is_by_flag {
            true => flag(URL.0, arguments).map(|_| "--url"),
            false => env::var_os(URL.1).map(|_| URL.1),
        };
        if let Some(rival) = rival {
            return Err(format!("{setting}: {rival} names a server too; leave one out"));
        }
        let Some(context) = self.0.iter().find(|context| context.name == *name) else {
            let names: Vec<&str> = self.0.iter().map(|context| &*context.name).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!("{setting}: expected a context of {file}, which has {known}; got {name:?}"));
        };
        let command = with_server(command, context);
        let _ = CURRENT.set(context.clone());
        Ok(command)
    }
}

/// Makes a context's address and key the only ones, also where variables have others: a key must reach its own server alone.
fn with_server(command: Command, context: &Context) -> Command {
    let is_client = command.get_arguments().any(|arg| arg.get_id() == FLAG);
    let command = command.mut_subcommands(|command| with_server(command, context));
    if !is_client {
        return command;
    }
    let command = command.mut_arg(URL.0, |arg| arg.env(Resettable::Reset).default_value(context.url.clone()));
    command.mut_arg(TOKEN_FILE, |arg| match &context.token_file {
        Some(file) => arg.env(Resettable::Reset).default_value(file.clone()),
        None => arg.env(Resettable::Reset).default_value(Resettable::Reset),
    })
}
