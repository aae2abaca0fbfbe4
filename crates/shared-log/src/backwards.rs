//! Searches a file from its end for the last line that the caller recognizes.
//!
//! As in `read`, the content is not trusted: memory is bounded whatever the file holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::read::{MAX_LINE_BYTES, Rest};

/// The number of bytes that are read at once. The first block mostly contains the last line.
const BLOCK_BYTES: u64 = 64 * 1024;

/// The end of a file.
#[derive(Debug)]
pub(crate) struct End<T> {
    /// The caller's value for the last whole line that it recognizes, if there is one.
    pub(crate) last: Option<T>,
    /// The text after the last newline.
    pub(crate) rest: Rest,
}

/// Reads back from the end of the file until `recognize` knows a line. A line longer than [`MAX_LINE_BYTES`] is foreign.
pub(crate) fn end_of<T>(file: &File, recognize: impl Fn(&[u8]) -> Option<T>) -> io::Result<End<T>> {
    let mut unread = file.metadata()?.len();
    let mut line = Piece(Some(Vec::new()));
    let mut rest = None;
    let mut block = Vec::new();
    while unread > 0 {
        let length = unread.min(BLOCK_BYTES);
        block.resize(length as usize, 0);
        unread -= length;
        file.read_exact_at(&mut block, unread)?;

        let mut before = &block[..];
        while let Some(newline) = before.iter().rposition(|byte| *byte == b'\n') {
            line.precede_with(&before[newline + 1..]);
            before = &before[..newline];
            let whole = std::mem::replace(&mut line, Piece(Some(Vec::new())));
            if rest.is_none() {
                rest = Some(whole.into_rest());
            } else if let Some(last) = whole.0.as_deref().and_then(&recognize) {
                return Ok(End { last: Some(last), rest: rest.unwrap_or(Rest::Nothing) });
            }
        }
        line.precede_with(before);
    }
    Ok(match rest {
        Some(rest) => End { last: line.0.as_deref().and_then(recognize), rest },
        None => End { last: None, rest: line.into_rest() },
    })
}

/// The end of a line whose beginning was not read yet; `None` once it is too long.
struct Piece(Option<Vec<u8>>);

impl Piece {
    fn precede_with(&mut self, bytes: &[u8]) {
        self.0 = self.0.take().filter(|end| bytes.len() + end.len() <= MAX_LINE_BYTES);
        if let Some(end) = &mut self.0 {
            end.splice(..0, bytes.iter().copied());
        }
    }

    fn into_rest(self) -> Rest {
        match self.0 {
            Some(text) if text.is_empty() => Rest::Nothing,
            Some(text) => Rest::Torn(text),
            None => Rest::TornTooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn end(content: &[u8]) -> End<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        end_of(&file, |line| line.starts_with(b"ours").then(|| String::from_utf8(line.to_owned()).unwrap()))
            .unwrap()
    }

    #[test]
    fn the_last_line_that_is_ours_is_found_before_foreign_and_torn_ones() {
        for (content, last, rest) in [
            (&b""[..], None, Rest::Nothing),
            (b"\n", None, Rest::Nothing),
            (b"ours", None, Rest::Torn(b"ours".to_vec())),
            (b"ours 1\n", Some("ours 1"), Rest::Nothing),
            (b"ours 1\nours 2\n", Some("ours 2"), Rest::Nothing),
            (b"ours 1\ntheirs\n\n\xff\n", Some("ours 1"), Rest::Nothing),
            (b"theirs\nours 1\nours 2", Some("ours 1"), Rest::Torn(b"ours 2".to_vec())),
            (b"theirs\nhalf", None, Rest::Torn(b"half".to_vec())),
        ] {
            let end = end(content);
            assert_eq!((end.last.as_deref(), end.rest), (last, rest), "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn the_end_is_that_of_a_file_read_from_its_beginning(content in "(ours [0-9]|theirs|\n|\n|ou|x{300}){0,12}") {
            let (whole, rest) = content.rsplit_once('\n').unwrap_or(("", &content));
            let last = whole.split('\n').rfind(|line| line.starts_with("ours"));

            let end = end(content.as_bytes());

            let rest = if rest.is_empty() { Rest::Nothing } else { Rest::Torn(rest.as_bytes().to_vec()) };
            prop_assert_eq!((end.last.as_deref(), end.rest), (last, rest));
        }
    }

    #[test]
    fn a_line_is_found_wherever_the_blocks_cut_it() {
        for behind in [0, 1, 3, 4, 5, 6, 7, 8, 100] {
            let mut content = b"theirs\nours 1\n".to_vec();
            content.extend(b"x\n".repeat((BLOCK_BYTES as usize - behind) / 2));
            assert_eq!(end(&content).last.as_deref(), Some("ours 1"), "{behind}");
        }
    }

    #[test]
    fn the_longest_line_is_found_and_a_longer_one_is_passed() {
        let longest = format!("ours{}", "x".repeat(MAX_LINE_BYTES - 4));
        let longer = format!("ours{}", "x".repeat(5 * MAX_LINE_BYTES));

        assert_eq!(end(format!("{longest}\n{longer}\n").as_bytes()).last, Some(longest));
        assert_eq!(end(longer.as_bytes()).rest, Rest::TornTooLong);
    }
}
