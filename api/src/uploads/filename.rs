//! File names as they are shown: data, never paths.

use std::borrow::Cow;

use program::is_bidi_control;

use crate::http::problem::{Code, Problem};

/// The most characters of a name, as in NTFS and APFS; file systems that count bytes allow fewer.
const MAX_CHARS: usize = 255;
/// The most bytes of a name: a little more than so many characters can have in UTF-8.
const MAX_BYTES: usize = 1024;

/// Returns the name that is kept: the last segment of the sent one, fit to be shown. `None` if nothing is left.
///
/// # Errors
/// [`Code::InvalidMultipart`] if it is longer than the name of any file.
pub fn kept(sent: &[u8]) -> Result<Option<String>, Problem> {
    let name = sent.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let too_long = || {
        Code::InvalidMultipart
            .because(format!("A file's name has up to {MAX_CHARS} characters in up to {MAX_BYTES} bytes."))
    };
    if name.len() > MAX_BYTES {
        return Err(too_long());
    }
    let name = shown(name);
    if name.chars().count() > MAX_CHARS {
        return Err(too_long());
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Returns text that can be shown: bytes that are not UTF-8, controls, and characters that turn the direction of writing are replaced.
pub fn shown(sent: &[u8]) -> String {
    let replaced =
        |c: char| if c.is_control() || is_bidi_control(c) { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(sent).chars().map(replaced).collect()
}

/// Returns a segment of a URL's path without its escapes.
pub fn unescaped(segment: &str) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode_str(segment).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(sent: impl AsRef<[u8]>) -> Option<String> {
        kept(sent.as_ref()).unwrap()
    }

    #[test]
    fn only_the_last_segment_is_kept() {
        for (sent, expected) in [
            ("../../etc/passwd", "passwd"),
            ("..\\..\\x", "x"),
            ("/abs", "abs"),
            ("C:\\x", "x"),
            ("a/b\\c.txt", "c.txt"),
            ("plain", "plain"),
        ] {
            assert_eq!(name(sent).as_deref(), Some(expected), "{sent}");
        }
        assert_eq!(name(""), None);
        assert_eq!(name("folder/"), None);
    }

    #[test]
    fn what_can_not_be_shown_is_replaced() {
        assert_eq!(
            name("a\0b\r\nc\u{1b}d\u{7f}e\u{85}f").unwrap(),
            "a\u{fffd}b\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f"
        );
        assert_eq!(name("\u{202e}gpj.exe").unwrap(), "\u{fffd}gpj.exe");
        assert_eq!(name(b"caf\xe9").unwrap(), "caf\u{fffd}");
        assert_eq!(name("e\u{301} 🧥 \u{200b}").unwrap(), "e\u{301} 🧥 \u{200b}");
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused() {
        for character in ["x", "é", "語", "🧥"] {
            assert_eq!(name(character.repeat(255)).unwrap().chars().count(), 255);
            assert!(kept(character.repeat(256).as_bytes()).is_err());
        }
        assert!(kept(&[0xff; 256]).is_err() && kept(&[b'x'; 100_000]).is_err());
        assert_eq!(name(format!("{}/x", "y".repeat(1000))).as_deref(), Some("x"));
    }

    proptest! {
        #[test]
        fn a_kept_name_is_one_line_without_separators(sent in proptest::collection::vec(any::<u8>(), 0..255)) {
            let name = name(&sent).unwrap_or_default();

            let is_fit = |c: char| !c.is_control() && !is_bidi_control(c) && c != '/' && c != '\\';
            prop_assert!(name.chars().all(is_fit));
        }
    }
}
