//! Keys, from the bytes that a terminal sends.

#[cfg(test)]
mod fuzz;

use std::io;
use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use tokio::sync::mpsc;

/// How long the rest of a sequence may take, in milliseconds; after that the key Esc was pressed.
const REST: u8 = 50;
/// The keys that wait to be read: those of a fast typist while the server is asked.
const WAITING: usize = 64;
/// The longest sequence of bytes that is waited for.
const LONGEST: usize = 64;

const ESCAPE: u8 = 0x1b;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Char(char),
    /// A letter with Ctrl.
    Control(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// The keys up to [`Self::PasteEnds`] are those of a pasted text.
    PasteBegins,
    PasteEnds,
}

/// Reads keys from standard input in a thread of its own. The end of the input ends them.
pub fn keys() -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let stdin = io::stdin();
        let (mut bytes, mut piece) = (Vec::new(), [0; 1024]);
        loop {
            let is_whole = !bytes.is_empty() && !has_more(&stdin);
            if !is_whole {
                match read(&stdin, &mut piece) {
                    Ok(0) => return,
                    Ok(read) => bytes.extend_from_slice(&piece[..read]),
                    Err(Errno::EINTR) => continue,
                    Err(_) => return,
                }
            }
            let (keys, used) = parse(&bytes, is_whole || bytes.len() > LONGEST);
            bytes.drain(..used);
            for key in keys {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

fn has_more(stdin: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::from(REST)).is_ok_and(|ready| ready > 0)
}

/// Returns the keys and the number of bytes that they are. If more may follow, leaves a sequence that is not whole.
fn parse(bytes: &[u8], is_whole: bool) -> (Vec<Key>, usize) {
    let (mut keys, mut used) = (Vec::new(), 0);
    while used < bytes.len() {
        let rest = &bytes[used..];
        match first(rest) {
            Some((key, length)) => {
                keys.extend(key);
                used += length;
            }
            None if is_whole => {
                keys.extend((rest == [ESCAPE]).then_some(Key::Escape));
                used = bytes.len();
            }
            None => break,
        }
    }
    (keys, used)
}

/// Returns the first key, or nothing for a sequence that is not one of them, and its length; `None` if the sequence is not whole.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let key = match bytes[0] {
        ESCAPE => return sequence(bytes),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        control @ 0x01..=0x1a => Key::Control(char::from(control - 1 + b'a')),
        _ => return character(bytes),
    };
    Some((Some(key), 1))
}

fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    // The first chunk begins with the first character, or with bytes that are not valid UTF-8.
    let chunk = bytes.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(c) => Some(((!c.is_control()).then_some(Key::Char(c)), c.len_utf8())),
        // The beginning of a character, at the end of what was read.
        None if chunk.invalid().len() == bytes.len() && bytes.len() < 4 && bytes[0] >= 0xc2 => None,
        None => Some((None, chunk.invalid().len())),
    }
}

/// Reads `ESC [ … final`, `ESC O final`, or a key with Alt, which is not one of ours.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match *bytes.get(1)? {
        b'[' => {
            let end = 2 + bytes[2..].iter().position(|byte| !(0x20..=0x3f).contains(byte))?;
            Some((key(bytes[end], &bytes[2..end]), end + 1))
        }
        b'O' => Some((key(*bytes.get(2)?, b""), 3)),
        // Esc twice, or Esc before a sequence.
        ESCAPE => Some((Some(Key::Escape), 1)),
        _ => Some((None, 2)),
    }
}

fn key(last: u8, parameters: &[u8]) -> Option<Key> {
    // The first parameter; a second one has the keys that were held.
    let number = parameters.split(|byte| *byte == b';').next().unwrap_or_default();
    Some(match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'Z', _) => Key::BackTab,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        (b'~', b"200") => Key::PasteBegins,
        (b'~', b"201") => Key::PasteEnds,
        // The keypad's.
        (b'M', b"") => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(bytes: &[u8]) -> Vec<Key> {
        let (keys, used) = parse(bytes, true);
        assert_eq!(used, bytes.len());
        keys
    }

    #[test]
    fn keys_are_told_apart() {
        for (bytes, keys) in [
            (&b"qJ?\xc3\xa9"[..], vec![Key::Char('q'), Key::Char('J'), Key::Char('?'), Key::Char('é')]),
            (b"\r\t\x7f\x0c", vec![Key::Enter, Key::Tab, Key::Backspace, Key::Control('l')]),
            (b"\x1b[A\x1bOB\x1b[5~\x1b[6~", vec![Key::Up, Key::Down, Key::PageUp, Key::PageDown]),
            (b"\x1b[1;5A\x1b[H\x1b[4~\x1b[Z", vec![Key::Up, Key::Home, Key::End, Key::BackTab]),
            (b"\x1b", vec![Key::Escape]),
            (b"\x1b\x1b[B", vec![Key::Escape, Key::Down]),
            // A key that is not ours, Alt with a letter, and a byte that is not a character.
            (b"\x1b[15~\x1bxa\xffb", vec![Key::Char('a'), Key::Char('b')]),
            (
                b"\x1b[200~c\n\x1b[201~q",
                vec![Key::PasteBegins, Key::Char('c'), Key::Enter, Key::PasteEnds, Key::Char('q')],
            ),
        ] {
            assert_eq!(keys_of(bytes), keys, "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_that_comes_in_pieces_is_one_key() {
        for whole in [&b"\x1b[6~"[..], b"\x1b[200~", "🧥".as_bytes(), b"\x1bOA"] {
            let expected = keys_of(whole);
            for cut in 1..whole.len() {
                assert_eq!(parse(&whole[..cut], false), (vec![], 0), "{whole:?} cut at {cut}");
            }
            assert_eq!(parse(whole, false), (expected, whole.len()));
        }
    }
}
