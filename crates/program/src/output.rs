//! Standard input, output and error: a failed read or write is an error with its status, never a panic and never silent.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::sys::signal::{SigHandler, Signal, raise, signal};
use tracing::error;

use crate::text::{visible, without_numbers};

/// Whether the program was started without a standard input, output and error.
static INPUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
static OUTPUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
static ERROR_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
/// Whether the program was started with SIGPIPE ignored.
static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Looks for them before Rust's runtime opens `/dev/null` in their place, which reads as empty and swallows all output without an error;
/// and before it ignores SIGPIPE.
extern "C" fn look() {
    for (descriptor, was_closed) in [
        (nix::libc::STDIN_FILENO, &INPUT_WAS_CLOSED),
        (nix::libc::STDOUT_FILENO, &OUTPUT_WAS_CLOSED),
        (nix::libc::STDERR_FILENO, &ERROR_WAS_CLOSED),
    ] {
        // SAFETY: F_GETFD reads a flag of the descriptor, and no memory.
        let flags = unsafe { nix::libc::fcntl(descriptor, nix::libc::F_GETFD) };
        was_closed.store(flags == -1, Relaxed);
    }
    let mut action = std::mem::MaybeUninit::<nix::libc::sigaction>::zeroed();
    // SAFETY: without a new action, the present one is written to `action`, which all zeros make valid already.
    let action = unsafe {
        nix::libc::sigaction(nix::libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    PIPE_WAS_IGNORED.store(action.sa_sigaction == nix::libc::SIG_IGN, Relaxed);
}

// SAFETY: the loader calls each function of this section once, before `main`; this one needs nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// Writes to standard output, and flushes it.
///
/// # Errors
/// If it can't be written, or the program was started without one.
pub fn print(text: &[u8]) -> io::Result<()> {
    is_open()?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}

/// Checks that the program was started with a standard output.
///
/// # Errors
/// If it was not.
pub(crate) fn is_open() -> io::Result<()> {
    check(&OUTPUT_WAS_CLOSED)
}

/// Returns standard input, to read from.
///
/// # Errors
/// If the program was started without one.
pub fn standard_input() -> io::Result<io::Stdin> {
    check(&INPUT_WAS_CLOSED).map(|()| io::stdin())
}

/// Returns standard error, to write to.
///
/// # Errors
/// If the program was started without one.
pub fn standard_error() -> io::Result<io::Stderr> {
    check(&ERROR_WAS_CLOSED).map(|()| io::stderr())
}

/// Ends the process by SIGPIPE, as a program in C ends when it writes to a pipe without a reader. Returns if it was started with that
/// signal ignored.
pub fn end_by_broken_pipe() {
    if PIPE_WAS_IGNORED.load(Relaxed) {
        return;
    }
    // SAFETY: the system's default action calls no function of this program.
    let is_default = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    if is_default.is_ok() {
        let _ = raise(Signal::SIGPIPE);
    }
}

fn check(was_closed: &AtomicBool) -> io::Result<()> {
    match was_closed.load(Relaxed) {
        true => Err(io::Error::from_raw_os_error(nix::libc::EBADF)),
        false => Ok(()),
    }
}

/// Reports that standard output could not be written, and returns the exit status 1. If the reader has gone away (`| head -1`), reports
/// nothing.
pub fn unwritten(error: &io::Error) -> ExitCode {
    if error.kind() != ErrorKind::BrokenPipe {
        let reason = without_numbers(&error.to_string());
        complain(&format!("standard output could not be written: {reason}"));
    }
    ExitCode::FAILURE
}

/// Prints the last line of a command that has done its work. Returns its exit status. If standard output can't be written, prints
/// the line to standard error: the work is done all the same.
pub fn conclude(text: &str) -> ExitCode {
    match print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            text.lines().for_each(|line| complain(&format!("done: {line}")));
            unwritten(&error)
        }
    }
}

/// Prints the address on which a server listens; programs wait for that line.
///
/// # Errors
/// The exit status, if the line can't be written; the log says so.
pub fn announce(lines: &str) -> Result<(), ExitCode> {
    print(lines.as_bytes()).map_err(|error| {
        error!("the address could not be written to standard output: {error}");
        ExitCode::FAILURE
    })
}

/// Writes a message of the program to standard error, in one line, without characters that a terminal acts on.
pub fn complain(text: &str) {
    // If standard error can't be written either, only the exit status remains.
    let _ = writeln!(io::stderr(), "coatcheck: {}", visible(text));
}
