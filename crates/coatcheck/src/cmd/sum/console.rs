//! Standard output and standard error of `sum`, written as `md5sum` writes them: before each message stands all that was printed before it,
//! and a failed write is told at the end.

use std::env;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::options::Stop;
use super::quote::quoted;
use crate::terminal;

/// The help under the name of `md5sum`, whose only options are GNU's.
const HELP: &str = "\
Usage: md5sum [OPTION]... [FILE]...
Print MD5 digests of files, or compare files with lists of them. This is Coatcheck
in place of md5sum of GNU coreutils 9.1; see also: coatcheck sum --help

Without FILE, or where FILE is -, standard input is read.

  -b, --binary          mark each name with *, as of a file read as binary
  -c, --check           read lists of digests from the FILEs, and compare
      --tag             print lines in BSD's form
  -t, --text            mark each name with a space (default)
  -z, --zero            end lines with NUL, and do not escape names

With --check:
      --ignore-missing  pass over files that do not exist
      --quiet           print no OK
      --status          print nothing; the exit status tells
      --strict          exit with 1 if a line is not in a known form
  -w, --warn            tell the place of each such line

      --help            print this
      --version         print the version
";
const VERSION: &str = concat!(
    "md5sum (Coatcheck ",
    env!("CARGO_PKG_VERSION"),
    ") 9.1\nOptions, output and messages are those of md5sum of GNU coreutils 9.1.\n"
);

/// The bytes of lines that are kept before they are written, where nothing asks for them sooner.
const KEPT: usize = 4096;

/// The name by which the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// `coatcheck sum`.
    Coatcheck,
    /// `md5sum`, whose place it takes.
    Md5sum,
}

impl Called {
    /// Returns the name in this process's arguments.
    pub fn now() -> Self {
        match env::args_os().next() {
            Some(path) if Path::new(&path).file_name() == Some(OsStr::new("md5sum")) => Self::Md5sum,
            _ => Self::Coatcheck,
        }
    }

    /// Returns the word before each message.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Coatcheck => "coatcheck",
            Self::Md5sum => "md5sum",
        }
    }
}

/// The lines and messages of a command. A failed write does not end it, as the exit status and the other stream still tell something.
#[derive(Debug)]
pub struct Console {
    pub called: Called,
    /// The lines that are not written yet.
    lines: Vec<u8>,
    /// The length of the last of them.
    last: usize,
    /// Whether each line is written as soon as it ends. Those that end with a NUL are not.
    is_by_line: bool,
    /// The first error of standard output.
    unwritten: Option<io::Error>,
    /// Whether a message is lost.
    is_untold: bool,
    /// Whether standard input was read.
    pub has_read_input: bool,
}

impl Console {
    /// Begins with nothing written. `is_by_line` is whether lines end with a line break.
    pub fn new(called: Called, is_by_line: bool) -> Self {
        let (lines, last, unwritten, is_untold, has_read_input) = Default::default();
        Self { called, lines, last, is_by_line, unwritten, is_untold, has_read_input }
    }

    /// Prints a line, which is written by the next message or [`flush`](Self::flush).
    pub fn print(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.last = line.len();
    }

    /// Writes the lines so far; returns whether more are wanted: a reader that has gone away (`| head -1`) wants none.
    pub fn flush(&mut self) -> bool {
        // As C does with a stream of no line breaks: what follows may fail later than what stands before.
        let kept = match self.is_by_line {
            true => 0,
            false if self.lines.len() < KEPT => return !self.has_lost_reader(),
            false => self.last,
        };
        let kept = self.lines.split_off(self.lines.len() - kept.min(self.lines.len()));
        self.write();
        self.lines = kept;
        !self.has_lost_reader()
    }

    fn write(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return;
        }
        if let Err(error) = terminal::print(&lines) {
            self.end_without_reader(&error);
            self.unwritten.get_or_insert(error);
        }
    }

    /// Ends the process where the reader of a pipe has gone, if that ends `md5sum`.
    fn end_without_reader(&self, error: &io::Error) {
        if self.called == Called::Md5sum && error.kind() == ErrorKind::BrokenPipe {
            program::end_by_broken_pipe();
        }
    }

    /// Returns whether the reader of standard output has gone. Under the name of `md5sum` only a signal ends the work then.
    fn has_lost_reader(&self) -> bool {
        self.called == Called::Coatcheck
            && self.unwritten.as_ref().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    }

    /// Writes a message on standard error, after the lines that were printed before it.
    pub fn say(&mut self, text: impl AsRef<[u8]>) {
        self.write();
        let message = [self.called.prefix().as_bytes(), b": ", text.as_ref(), b"\n"].concat();
        let written = program::standard_error().and_then(|mut error| {
            let is_terminal = error.is_terminal();
            error.write_all(&if is_terminal {
                terminal::harmless(&message)
            } else {
                message.as_slice().into()
            })
        });
        if let Err(error) = written {
            self.end_without_reader(&error);
            self.is_untold = true;
        }
    }

    /// Reports a file's error.
    pub fn complain(&mut self, name: &OsStr, error: &io::Error) {
        self.say(format!("{}: {}", quoted(name), told(error)));
    }

    /// Reports wrong usage; returns the exit status.
    pub fn refuse(mut self, why: &[u8]) -> ExitCode {
        match self.called {
            Called::Coatcheck => {
                let why = String::from_utf8_lossy(why);
                self.say(format!("{}; see coatcheck sum --help", program::visible(&why)));
                ExitCode::from(2)
            }
            Called::Md5sum => {
                self.say([why, b"\nTry 'md5sum --help' for more information."].concat());
                ExitCode::FAILURE
            }
        }
    }

    /// Answers a command line that asks for no sums.
    pub fn answer(mut self, stop: &Stop) -> ExitCode {
        match stop {
            Stop::Help(_) => self.print(HELP.as_bytes()),
            Stop::Version => self.print(VERSION.as_bytes()),
            Stop::Misuse(why) => return self.refuse(why),
        }
        self.flush();
        self.end(true)
    }

    /// Writes what is left, and reports what could not be written; returns the exit status.
    pub fn end(mut self, mut is_all_well: bool) -> ExitCode {
        if self.has_read_input
            && let Err(error) = program::standard_input()
        {
            is_all_well = false;
            self.say(format!("standard input: {}", told(&error)));
        }
        self.flush();
        let earlier = self.unwritten.take();
        self.write();
        let called = self.called;
        let is_quiet =
            |error: &io::Error| called == Called::Coatcheck && error.kind() == ErrorKind::BrokenPipe;
        let failure = match (earlier, self.unwritten.take()) {
            (None, None) => return self.status(is_all_well),
            (Some(error), _) | (None, Some(error)) if is_quiet(&error) => return ExitCode::FAILURE,
            (_, Some(error)) => format!("write error: {}", told(&error)),
            // C has forgotten the reason of an earlier error; of a closed stream it finds it again.
            (Some(error), None) if error.raw_os_error() == Some(nix::libc::EBADF) => {
                format!("write error: {}", told(&error))
            }
            (Some(_), None) => "write error".to_owned(),
        };
        self.say(failure);
        ExitCode::FAILURE
    }

    fn status(&self, is_all_well: bool) -> ExitCode {
        if is_all_well && !self.is_untold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Returns an error in the system's words alone.
fn told(error: &io::Error) -> String {
    match error.kind() {
        // It may come without the system's number.
        ErrorKind::IsADirectory => "Is a directory".to_owned(),
        _ => program::without_numbers(&error.to_string()),
    }
}
