//! `coatcheck` as a process: started in a folder, read, signalled, reaped. This file does not depend on what it serves.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_kit::{DEADLINE, eventually};

/// Returns a command line of `coatcheck` in `folder`, without the machine's own environment.
pub fn coatcheck<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coatcheck"));
    // Not its usual port, which another program may have.
    command.args(arguments).current_dir(folder).env_clear().env("LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// Runs a command to its end without blocking the rest of the test.
pub async fn output(mut command: Command) -> Output {
    let finished = tokio::task::spawn_blocking(move || command.output());
    let finished = tokio::time::timeout(DEADLINE, finished).await;
    finished.expect("the command does not end").unwrap().expect("the command can't be run")
}

/// Runs a command whose standard error is a terminal of 80 columns (an xterm, unless the command says otherwise); returns its other output,
/// and the text drawn there.
pub async fn output_on_terminal(mut command: Command) -> (Output, String) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm");
    }
    command.stderr(slave);
    let drawing = tokio::task::spawn_blocking(move || {
        let mut drawn = Vec::new();
        // The end comes as an error, once the command has closed the terminal.
        let _ = File::from(master).read_to_end(&mut drawn);
        String::from_utf8_lossy(&drawn).into_owned()
    });
    let done = output(command).await;
    (done, drawing.await.unwrap())
}

/// A program that serves. Killed when dropped, so none outlives its test.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts it, with its output in the files `stdout` and `stderr` of `folder`; the latter is appended to.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let stdout = File::create(folder.join("stdout")).unwrap();
        let stderr = File::options().create(true).append(true).open(stderr_of(folder)).unwrap();
        Self { child: command.stdout(stdout).stderr(stderr).spawn().unwrap() }
    }

    /// Waits for the line that names its address, and returns `HOST:PORT`.
    pub async fn address(&mut self, folder: &Path) -> String {
        eventually("the line with the address", async || {
            if let Some(status) = self.exit_status() {
                panic!(
                    "the program ended at once: {status}\n{}",
                    fs::read_to_string(stderr_of(folder)).unwrap()
                );
            }
            let printed = fs::read_to_string(folder.join("stdout")).unwrap();
            address(&printed).ok_or(printed)
        })
        .await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, unless it has ended: once reaped, its number may belong to another process.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        }
    }

    /// Sends `kill -9`, and waits until everything that it held is free.
    pub fn kill(mut self) {
        self.end();
    }

    /// Returns the exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the file with the log lines of a program that was started in `folder`.
pub fn stderr_of(folder: &Path) -> PathBuf {
    folder.join("stderr")
}

/// Returns the address in `coatcheck: page http://HOST:PORT/ · API http://HOST:PORT/docs`.
fn address(printed: &str) -> Option<String> {
    let line = printed.strip_suffix('\n')?;
    let (address, docs) = line.strip_prefix("coatcheck: page http://")?.split_once("/ · API http://")?;
    (docs == format!("{address}/docs")).then(|| address.to_owned())
}
