//! The parts that each of Coatcheck's programs needs around its work: settings that are parsed or rejected in one line, log lines, and
//! signals that drain. It knows nothing of tasks.
#![deny(missing_docs)]

mod backoff;
mod config;
mod folder;
mod host;
mod log;
mod memory;
pub mod metrics;
mod output;
pub mod private;
mod repeated;
pub mod retry_after;
mod runtime;
mod settings;
mod signals;
mod supervisor;
pub mod swagger_ui;
mod text;
pub mod tls;
mod usage;
mod values;

pub use backoff::Backoff;
pub use config::context::{Context, current as context};
pub use config::{place_of, with_flags as with_config_flags};
pub use folder::{folder_of, sync_folder};
pub use host::host_name;
pub use log::LogArgs;
pub use output::{
    announce, complain, conclude, end_by_broken_pipe, print, standard_error, standard_input, unwritten,
};
pub use repeated::Repeated;
pub use runtime::run;
pub use settings::{in_one_line, parse, parse_from, read_secret, refuse, secret, taken_address, variable};
pub use signals::{drain_signal, stop_token};
pub use supervisor::ready;
pub use text::{
    acts_on_terminal, counted, is_bidi_control, is_invisible, is_name, visible, without_numbers,
    without_passwords,
};
pub use values::{Keep, address, duration, keep, positive_duration, size};

use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

/// Begins a program that serves until a signal: starts its log lines, raises its limit on open files, and returns the token that the
/// first signal cancels.
///
/// # Errors
/// The exit status, if `RUST_LOG` is invalid or the system accepts no signal handlers.
pub fn begin(log: LogArgs) -> Result<CancellationToken, ExitCode> {
    log.start().map_err(|line| refuse(&line))?;
    raise_file_limit();
    signals::stop_token()
        .map_err(|error| refuse(&format!("the handlers of signals could not be installed: {error}")))
}

/// Raises the limit on open files to the hard limit: the soft limit is often far lower, and many clients, or many rotated logs, need a
/// descriptor each.
pub fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If the limit can't be raised, the program runs with what it has.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
