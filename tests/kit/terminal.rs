//! A command on a terminal: what it shows there, and the keys that are pressed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, tcgetattr};
use nix::unistd::Pid;
use test_kit::eventually;
use tokio::time::sleep;

/// How long nothing is written once a screen is drawn.
const DRAWN: Duration = Duration::from_millis(50);

/// A command whose standard input, output and error are a terminal, an xterm unless the command says otherwise. Killed when dropped.
pub struct Terminal {
    program: Child,
    master: File,
    slave: Option<OwnedFd>,
    reader: Option<JoinHandle<()>>,
    written: Arc<Mutex<Vec<u8>>>,
    before: Modes,
}

/// Modes that a shell needs to find as they were.
type Modes = (InputFlags, OutputFlags, LocalFlags);

impl Terminal {
    /// Starts a command on a terminal of that size.
    pub fn start(mut command: Command, (rows, columns): (u16, u16)) -> Self {
        let OpenptyResult { master, slave } = openpty(&size(rows, columns), None).unwrap();
        // Programs that other tests start keep neither end open.
        for end in [&master, &slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        let before = modes(&slave);
        let end = || slave.try_clone().unwrap();
        let program = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, text) = (master.try_clone().unwrap(), written.clone());
        let reads = thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end comes as an error, once both ends are closed.
            while let Ok(read @ 1..) = reader.read(&mut piece) {
                text.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Self { program, master, slave: Some(slave), reader: Some(reads), written, before }
    }

    /// Presses keys: the bytes that a terminal sends for them.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size, and tells the command.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = size(rows, columns);
        // SAFETY: the request reads one `winsize`, which lives as long as the call.
        let done = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0);
        self.signal(Signal::SIGWINCH);
    }

    pub fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.program.id().cast_signed()), signal).unwrap();
    }

    /// Returns all that was written to the terminal.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Returns the lines that the alternate screen shows.
    pub fn shown(&self) -> String {
        shown(&self.written())
    }

    /// Waits until the screen has a text; returns its lines.
    pub async fn until(&self, text: &str) -> String {
        let has = async || {
            let shown = self.shown();
            if !shown.contains(text) {
                return Err(shown);
            }
            // The rest of what is being drawn.
            sleep(DRAWN).await;
            if self.shown() == shown { Ok(shown) } else { Err(shown) }
        };
        eventually(text, has).await
    }

    /// Waits until the screen has not a text any more.
    pub async fn until_without(&self, text: &str) {
        let has_not = async || {
            let shown = self.shown();
            if shown.contains(text) { Err(shown) } else { Ok(()) }
        };
        eventually(text, has_not).await;
    }

    /// Waits for the end of the command, checks that the terminal is as it was before, and returns the status and what was written after that.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let status = eventually("the end of the command", async || {
            self.program.try_wait().unwrap().ok_or_else(|| self.shown())
        })
        .await;
        let slave = self.slave.take().unwrap();
        assert_eq!(modes(&slave), self.before, "the terminal is not as it was");
        // Once all its ends are closed, the reader has read everything.
        drop(slave);
        self.reader.take().unwrap().join().unwrap();
        let written = self.written();
        for (set, reset) in
            [("\u{1b}[?25l", "\u{1b}[?25h"), ("\u{1b}[?7l", "\u{1b}[?7h"), ("\u{1b}[?2004h", "\u{1b}[?2004l")]
        {
            assert!(written.rfind(reset) >= written.rfind(set), "{reset:?} is missing");
        }
        let rest = written.rsplit_once("\u{1b}[?1049l").map_or(&*written, |(_, rest)| rest);
        (status, rest.to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

const fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn modes(slave: &OwnedFd) -> Modes {
    let modes = tcgetattr(slave).unwrap();
    (modes.input_flags, modes.output_flags, modes.local_flags)
}

/// Returns the lines after these bytes, of the few sequences that Coatcheck writes.
fn shown(written: &str) -> String {
    let mut lines = vec![String::new()];
    let mut row = 0;
    for (number, part) in written.split("\u{1b}[").enumerate() {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(0, |at| at + 1);
        let (sequence, text) = part.split_at(if number == 0 { 0 } else { end });
        match sequence.chars().last() {
            Some('H') => row = sequence.split(';').next().unwrap().parse::<usize>().unwrap() - 1,
            Some('J') => (lines, row) = (vec![String::new()], 0),
            Some('K') => lines.get_mut(row).into_iter().for_each(String::clear),
            _ => {}
        }
        if lines.len() <= row {
            lines.resize(row + 1, String::new());
        }
        lines[row].push_str(text);
    }
    lines.join("\n")
}
