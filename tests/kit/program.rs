//! `coatcheck` as a process: started in a folder, read, signalled, reaped. Nothing here knows what it serves.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_kit::{DEADLINE, eventually};

/// A command line of `coatcheck` in `folder`, with nothing in its environment that the machine happens to have there.
pub fn coatcheck<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coatcheck"));
    // Not its usual port, which another program may have.
    command.args(arguments).current_dir(folder).env_clear().env("LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// Runs a command to its end, without holding up what else the test does.
pub async fn output(mut command: Command) -> Output {
    let finished = tokio::task::spawn_blocking(move || command.output());
    let finished = tokio::time::timeout(DEADLINE, finished).await;
    finished.expect("the command does not end").unwrap().expect("the command can't be run")
}

/// Runs a command whose standard error is a terminal of 80 columns; the rest of its output, and what was drawn there.
pub async fn output_on_terminal(mut command: Command) -> (Output, String) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    command.env("TERM", "xterm").stderr(slave);
    let drawing = tokio::task::spawn_blocking(move || {
        let mut drawn = Vec::new();
        // Its end is told as an error, once the command has let go of the terminal.
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
    /// Starts it, its output in the files `stdout` and `stderr` of `folder`; the latter is added to.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let stdout = File::create(folder.join("stdout")).unwrap();
        let stderr = File::options().create(true).append(true).open(stderr_of(folder)).unwrap();
        Self { child: command.stdout(stdout).stderr(stderr).spawn().unwrap() }
    }

    /// Waits for the one line that names its address: `HOST:PORT`.
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

    /// Not to one that has ended: once it was reaped, its number may be someone else's.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        }
    }

    /// `kill -9`; all that it held is free when this returns.
    pub fn kill(mut self) {
        self.end();
    }

    /// How it has ended, if it has.
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

/// Where a program that was started in `folder` writes its log lines.
pub fn stderr_of(folder: &Path) -> PathBuf {
    folder.join("stderr")
}

/// The address in `coatcheck: page http://HOST:PORT/ · API http://HOST:PORT/docs`.
fn address(printed: &str) -> Option<String> {
    let line = printed.strip_suffix('\n')?;
    let (address, docs) = line.strip_prefix("coatcheck: page http://")?.split_once("/ · API http://")?;
    (docs == format!("{address}/docs")).then(|| address.to_owned())
}
