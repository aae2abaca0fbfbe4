//! The `--help` of a command: of the settings that it accepts, it shows those that it uses.

use clap::{Arg, Command};

/// Commands that accept all settings of the service, so that they can be called in its environment, and the settings that each uses.
const USED: [(&str, &[&str]); 4] = [
    (
        "doctor",
        &["listen", "min_free_disk", "database_url", "amqp_url", "redis_url", "blob_url", "outcome_log"],
    ),
    ("migrate", &["database_url"]),
    (
        "verify",
        &["database_url", "blob_url", "outcome_log", "outcome_log_name", "orphan_seconds", "keep_uploads"],
    ),
    ("backup", &["database_url", "blob_url", "outcome_log", "outcome_log_name"]),
];

/// The headings of the service's settings.
const HEADINGS: [&str; 8] =
    ["API", "Access", "Addresses", "Messages", "Promises", "Quotas", "Tables", "Worker"];

/// Hides from the help of each command the settings that it does not use.
pub fn shown(command: Command) -> Command {
    USED.iter().fold(command, |command, (name, used)| {
        command.mut_subcommand(name, |command| {
            command.mut_args(|arg| if is_shown(&arg, used) { arg } else { arg.hide(true) })
        })
    })
}

fn is_shown(arg: &Arg, used: &[&str]) -> bool {
    !arg.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading))
        || used.contains(&arg.get_id().as_str())
}
