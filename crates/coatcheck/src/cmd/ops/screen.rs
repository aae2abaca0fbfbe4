//! The terminal while the view has it: raw, on the alternate screen; and as it was before, however the program ends.

use std::fmt::Write;
use std::io;
use std::panic;
use std::sync::Once;

use console::Term;
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use parking_lot::Mutex;

/// Takes the alternate screen; hides the cursor, cuts long lines, and marks pasted text.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h";
/// Undoes all of that.
const GIVE_BACK: &[u8] = b"\x1b[0m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The terminal's modes before the view took it; `None` while the view has not got it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The screen. If this is dropped, the terminal is as it was before.
#[derive(Debug)]
pub struct Screen {
    /// The lines that it shows.
    shown: Vec<String>,
}

impl Screen {
    /// Takes the terminal. A panic gives it back before its message is written.
    ///
    /// # Errors
    /// If standard input or output is not a terminal that can be set.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                next(info);
            }));
        });
        let mut screen = Self { shown: Vec::new() };
        screen.resume()?;
        Ok(screen)
    }

    /// Takes the terminal again after the process was stopped. What it shows is drawn anew.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn resume(&mut self) -> io::Result<()> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // Ctrl-C and Ctrl-Z stay signals.
        raw.local_flags.insert(LocalFlags::ISIG);
        BEFORE.lock().get_or_insert(before);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        self.shown.clear();
        program::print(TAKE)
    }

    /// Gives the terminal back to the shell, and stops the process until that continues it.
    pub fn suspend(&mut self) {
        give_back();
        let _ = raise(Signal::SIGSTOP);
    }

    /// Forgets what the terminal shows: something else may have written there.
    pub fn forget(&mut self) {
        self.shown.clear();
    }

    /// Returns the rows and the columns.
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = Term::stdout().size();
        (rows.into(), columns.into())
    }

    /// Shows these lines, each cut already to the width. Writes those that have changed.
    ///
    /// # Errors
    /// If standard output can't be written.
    pub fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        let mut text = String::new();
        if self.shown.len() != lines.len() {
            self.shown = vec![String::new(); lines.len()];
            text.push_str("\x1b[2J");
        }
        for (row, (line, shown)) in lines.iter().zip(&self.shown).enumerate() {
            if line != shown {
                // Cleared first: where a line fills the row, the cursor stays on its last character.
                let _ = write!(text, "\x1b[{};1H\x1b[2K{line}", row + 1);
            }
        }
        self.shown = lines;
        if text.is_empty() { Ok(()) } else { program::print(text.as_bytes()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if let Some(before) = BEFORE.lock().take() {
        // If the terminal is gone, nothing is left to do.
        let _ = program::print(GIVE_BACK);
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &before);
    }
}
