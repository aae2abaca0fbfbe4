//! Formats errors of a command line or a setting as one line: the place, what was expected, what came, what to do next.

use std::error::Error;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Returns clap's message of several lines as one line. An invalid value is named by its flag if the command line has that, else as the
/// documents name the setting.
pub fn told(error: &clap::Error, arguments: &[String], program: &Command) -> String {
    let line = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => wrong_value(error, arguments),
        ErrorKind::ArgumentConflict => before_command(error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Some(missing_command(arguments, program)),
        _ => None,
    };
    let line = line.unwrap_or_else(|| one_line(&error.to_string()));
    match (error.kind(), command(error)) {
        (
            ErrorKind::UnknownArgument
            | ErrorKind::InvalidSubcommand
            | ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand,
            Some(command),
        ) => format!("{line}; see {command} --help"),
        _ => line,
    }
}

/// Formats an invalid value: `WORKERS: expected a whole number, got "x"`.
fn wrong_value(error: &clap::Error, arguments: &[String]) -> Option<String> {
    let arg = text(error, ContextKind::InvalidArg)?;
    let value = text(error, ContextKind::InvalidValue)?;
    // `--wait[=<TIME>]` if its value may be left out.
    let flag = arg.split([' ', '[']).next().unwrap_or(arg);
    let is_flag = |argument: &String| {
        argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let setting = || Some(arg.split_once('<')?.1.split_once('>')?.0);
    let name = if arguments.iter().any(is_flag) { flag } else { setting().unwrap_or(arg) };
    Some(format!("{name}: {}, got {value:?}", expected(error)?))
}

/// Returns the value that was expected instead of an invalid one: `expected a whole number`.
pub fn expected(error: &clap::Error) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue)?;
    Some(match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => reason(&source.to_string(), value),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("expected {}", valid.join(" or "))
        }
        (None, _) => "expected a value".to_owned(),
    })
}

/// Translates the library's errors about numbers.
fn reason(source: &str, value: &str) -> String {
    if let Some(range) = source.strip_prefix(&format!("{value} is not in ")) {
        return format!("expected a number {}", range_in_words(range));
    }
    match source {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "expected a whole number".to_owned()
        }
        source => source.to_owned(),
    }
}

/// Formats the library's notation of a range, `1..=9`, as words.
fn range_in_words(range: &str) -> String {
    match range.split_once("..") {
        Some((least, most)) => match most.strip_prefix('=') {
            Some(most) => format!("from {least} to {most}"),
            // An open end is given as the largest number of the type.
            None if most == i64::MAX.to_string() || most == u64::MAX.to_string() => {
                format!("of at least {least}")
            }
            None => format!("from {least} to below {most}"),
        },
        None => format!("in {range}"),
    }
}

/// Returns the error of a missing command, with the commands to choose from.
fn missing_command(arguments: &[String], program: &Command) -> String {
    let (mut called, mut path) = (program, program.get_name().to_owned());
    for argument in arguments {
        if let Some(command) = called.find_subcommand(argument) {
            called = command;
            path = format!("{path} {argument}");
        }
    }
    let commands: Vec<&str> =
        called.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
    format!("expected a command: {}; see {path} --help", commands.join(", "))
}

/// Returns the error of a command's flag before the command, such as `--listen`.
fn before_command(error: &clap::Error) -> Option<String> {
    let command = text(error, ContextKind::InvalidSubcommand)?;
    let arg = match error.get(ContextKind::PriorArg)? {
        ContextValue::String(arg) => arg,
        ContextValue::Strings(args) => args.first()?,
        _ => return None,
    };
    let flag = arg.split(' ').next().unwrap_or(arg);
    Some(format!("{flag}: expected it after the command; write: coatcheck {command} {arg}"))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Returns the command that was called, by its usage.
fn command(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return None };
    let usage = usage.to_string();
    let words = usage.trim_start().strip_prefix("Usage:")?.split_whitespace();
    let words: Vec<&str> =
        words.take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    Some(words.join(" "))
}

/// Returns clap's message up to its usage, in one line.
fn one_line(text: &str) -> String {
    let told = text.split("\n\nUsage:").next().unwrap_or(text).split("\n\nFor more information").next();
    let words: Vec<&str> = told.unwrap_or(text).split_whitespace().collect();
    let line = words.join(" ").trim_start_matches("error: ").replace(" tip: ", "; ");
    // An unknown flag was hardly meant as a file's name.
    line.split("; to pass '").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "coatcheck", args_conflicts_with_subcommands = true)]
    struct Cli {
        #[arg(long, env, value_name = "MAX_ATTEMPTS", value_parser = clap::value_parser!(i32).range(1..=9))]
        max_attempts: Option<i32>,
        #[arg(long, value_name = "AUTH", value_parser = ["off", "required"])]
        auth: Option<String>,
        #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = ["1s"])]
        wait: Option<Option<String>>,
        #[command(subcommand)]
        command: Option<Called>,
    }

    #[derive(Debug, Subcommand)]
    enum Called {
        Put {
            file: String,
        },
        /// Users
        #[command(subcommand)]
        User(User),
    }

    #[derive(Debug, Subcommand)]
    enum User {
        /// Add one
        Add,
        List,
    }

    #[test]
    fn what_is_wrong_is_one_line_that_names_the_setting_and_what_came() {
        for (arguments, line) in [
            (&["--max-attempts", "0"][..], "--max-attempts: expected a number from 1 to 9, got \"0\""),
            (&["--max-attempts=x"], "--max-attempts: expected a whole number, got \"x\""),
            (&["--auth", "on"], "--auth: expected off or required, got \"on\""),
            (&["--wait=soon"], "--wait: expected 1s, got \"soon\""),
            (&["--auth", ""], "--auth: expected off or required, got \"\""),
            (
                &["--auth", "off", "put", "x"],
                "--auth: expected it after the command; write: coatcheck put --auth <AUTH>",
            ),
            (&["--max-attempts", ""], "--max-attempts: expected a whole number, got \"\""),
            (&["user"], "expected a command: add, list; see coatcheck user --help"),
            (
                &["put"],
                "the following required arguments were not provided: <FILE>; see coatcheck put --help",
            ),
            (&["put", "x", "--odd"], "unexpected argument '--odd' found; see coatcheck put --help"),
            (
                &["--aut", "off"],
                "unexpected argument '--aut' found; a similar argument exists: '--auth'; see coatcheck --help",
            ),
        ] {
            let error = Cli::try_parse_from([&["coatcheck"], arguments].concat()).unwrap_err();
            let given: Vec<String> = arguments.iter().map(ToString::to_string).collect();

            assert_eq!(told(&error, &given, &Cli::command()), line, "{arguments:?}");
        }
    }

    #[test]
    fn a_wrong_value_of_the_environment_is_named_by_its_variable() {
        let error = Cli::try_parse_from(["coatcheck", "--auth", "on"]).unwrap_err();

        for given in [&[][..], &["--author", "on"]] {
            let given: Vec<String> = given.iter().map(ToString::to_string).collect();
            assert_eq!(told(&error, &given, &Cli::command()), "AUTH: expected off or required, got \"on\"");
        }
    }
}
