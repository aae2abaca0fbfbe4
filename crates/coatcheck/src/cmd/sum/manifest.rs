//! Lines of a manifest, as `md5sum --check` reads them: its own, with a space or `*` before the name; BSD's `MD5 (name) = digest`; and the
//! old form with a single space.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use md5_lanes::Digest;

const HEX_DIGITS: usize = 32;

/// A parser of manifests, line by line.
#[derive(Debug, Default)]
pub struct Lines {
    /// Whether lines are of the old form. The first line that shows it decides, in all manifests of a command; otherwise a name that
    /// begins with a space could pass for another name.
    is_old_form: Option<bool>,
}

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Listed(Digest, OsString),
    /// A comment, or empty.
    Nothing,
    Improper,
}

impl Lines {
    /// Reads a line, without its newline.
    pub fn read(&mut self, line: &[u8]) -> Line {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            return Line::Nothing;
        }
        let text = trim_blanks(line);
        let (text, is_escaped) = text.strip_prefix(b"\\").map_or((text, false), |text| (text, true));
        let told = match text.strip_prefix(b"MD5") {
            Some(text) => of_bsd(text),
            None => self.of_md5sum(text),
        };
        told.and_then(|(digest, name)| {
            let name = if is_escaped { unescaped(name)? } else { name.to_owned() };
            // A C string ends at the NUL.
            let name = name.split(|byte| *byte == 0).next()?.to_owned();
            Some(Line::Listed(digest, OsString::from_vec(name)))
        })
        .unwrap_or(Line::Improper)
    }

    fn of_md5sum<'a>(&mut self, text: &'a [u8]) -> Option<(Digest, &'a [u8])> {
        let (digest, rest) = text.split_at_checked(HEX_DIGITS)?;
        let (blank, rest) = rest.split_first()?;
        if !is_blank(*blank) || rest.is_empty() {
            return None;
        }
        let digest = of_hex(digest)?;
        let (mark, name) = rest.split_first()?;
        let is_old_form = name.is_empty() || !matches!(mark, b' ' | b'*');
        if is_old_form && self.is_old_form == Some(false) {
            return None;
        }
        let is_old_form = *self.is_old_form.get_or_insert(is_old_form);
        Some((digest, if is_old_form { rest } else { name }))
    }
}

fn of_bsd(text: &[u8]) -> Option<(Digest, &[u8])> {
    let text = text.strip_prefix(b" ").unwrap_or(text).strip_prefix(b"(")?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let digest = trim_blanks(&text[end + 1..]).strip_prefix(b"=")?;
    // A C string ends at the NUL.
    let digest = trim_blanks(digest).split(|byte| *byte == 0).next()?;
    Some((of_hex(digest)?, &text[..end]))
}

fn of_hex(text: &[u8]) -> Option<Digest> {
    let mut digest = Digest::default();
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != digest.0.len() {
        return None;
    }
    for (byte, [high, low]) in digest.0.iter_mut().zip(pairs) {
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        *byte = u8::try_from(value(high)? << 4 | value(low)?).ok()?;
    }
    Some(digest)
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut unescaped = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            0 => return None,
            byte => *byte,
        });
    }
    Some(unescaped)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let begin = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    &text[begin..]
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;
    use crate::md5sum;

    /// Returns a strategy for names of every sort, most of which mean something in a manifest.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\\".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b" *".to_vec()),
            Just(b"#".to_vec()),
            Just(b"MD5 (a) = ".to_vec()),
            Just(b"\t".to_vec()),
            proptest::collection::vec(1..=255_u8, 1..4),
        ];
        proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(name in names(), digest: [u8; 16]) {
            let (name, digest) = (OsStr::from_bytes(&name), Digest(digest));
            let line = md5sum::line(digest, name);

            let read = Lines::default().read(line.strip_suffix(b"\n").unwrap());

            prop_assert_eq!(read, Line::Listed(digest, name.to_owned()));
        }

        #[test]
        fn no_line_is_too_strange(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..4), name in names(), cut in 0..60_usize) {
            let line = md5sum::line("0".repeat(32), OsStr::from_bytes(&name));
            let mut manifest = Lines::default();
            for line in lines.iter().map(Vec::as_slice).chain([&line[..cut.min(line.len())], &line]) {
                let _ = manifest.read(line);
            }
        }
    }
}
