//! Lines and names as GNU md5sum writes them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use program::acts_on_terminal;

/// Returns a line of `md5sum`: a name with a backslash, newline or carriage return is escaped, and a backslash at the line's start marks
/// that. All other bytes of the name are as given.
pub fn line(digest: impl Display, name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    let mut line = Vec::with_capacity(1 + 32 + 2 + 2 * name.len() + 1);
    if name.iter().any(|byte| escape_of(*byte).is_some()) {
        line.push(b'\\');
    }
    // Writing to memory can't fail.
    let _ = write!(line, "{digest}  ");
    push_escaped(&mut line, name);
    line.push(b'\n');
    line
}

/// Returns a line of `md5sum --check`, in which only a newline makes a name escaped.
pub fn verdict(name: &OsStr, verdict: &str) -> Vec<u8> {
    let (name, mut line) = (name.as_bytes(), Vec::new());
    if name.contains(&b'\n') {
        line.push(b'\\');
        push_escaped(&mut line, name);
    } else {
        line.extend_from_slice(name);
    }
    let _ = writeln!(line, ": {verdict}");
    line
}

fn push_escaped(line: &mut Vec<u8>, name: &[u8]) {
    for byte in name {
        match escape_of(*byte) {
            Some(escape) => line.extend_from_slice(escape),
            None => line.push(*byte),
        }
    }
}

fn escape_of(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'\\' => Some(br"\\"),
        b'\n' => Some(br"\n"),
        b'\r' => Some(br"\r"),
        _ => None,
    }
}

/// Returns a name for a message: as it is, or in quotes for a shell if it has characters that mean something to one.
pub fn quoted(name: &OsStr) -> String {
    let bytes = name.as_bytes();
    let is_plain = |(at, character): (usize, char)| match character {
        '#' | '~' => at > 0,
        '{' | '}' => bytes.len() > 1,
        _ => !acts_on_terminal(character) && !" !\"$&'()*:;<=>?[\\^`|".contains(character),
    };
    let text = std::str::from_utf8(bytes);
    if !bytes.is_empty() && text.is_ok_and(|text| text.char_indices().all(is_plain)) {
        return name.to_string_lossy().into_owned();
    }
    let is_same_in_double_quotes = |byte: &u8| byte.is_ascii_alphanumeric() || b" %'+,-./:]_".contains(byte);
    if bytes.contains(&b'\'') && bytes.iter().all(is_same_in_double_quotes) {
        return format!("\"{}\"", name.to_string_lossy());
    }

    let (mut quoted, mut is_in_escapes) = ("'".to_owned(), false);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if acts_on_terminal(character) {
                let mut utf8 = [0; 4];
                escape(character.encode_utf8(&mut utf8).as_bytes(), &mut is_in_escapes, &mut quoted);
                continue;
            }
            if std::mem::take(&mut is_in_escapes) {
                quoted.push_str("''");
            }
            match character {
                '\'' => quoted.push_str(r"'\''"),
                _ => quoted.push(character),
            }
        }
        escape(chunk.invalid(), &mut is_in_escapes, &mut quoted);
    }
    quoted.push('\'');
    quoted
}

fn escape(bytes: &[u8], is_in_escapes: &mut bool, quoted: &mut String) {
    for byte in bytes {
        if !std::mem::replace(is_in_escapes, true) {
            quoted.push_str("'$'");
        }
        match byte {
            0x07 => quoted.push_str(r"\a"),
            0x08 => quoted.push_str(r"\b"),
            b'\t' => quoted.push_str(r"\t"),
            b'\n' => quoted.push_str(r"\n"),
            0x0b => quoted.push_str(r"\v"),
            0x0c => quoted.push_str(r"\f"),
            b'\r' => quoted.push_str(r"\r"),
            byte => quoted.push_str(&format!(r"\{byte:03o}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_md5sum_does() {
        // The output of GNU coreutils 9.1 for these names, each of a file that holds "abc".
        let cases: [(&[u8], &[u8]); 8] = [
            (b"a.txt", b"D  a.txt\n"),
            (b"./ a", b"D  ./ a\n"),
            (b"a\\b", b"\\D  a\\\\b\n"),
            (b"a\nb", b"\\D  a\\nb\n"),
            (b"a\rb", b"\\D  a\\rb\n"),
            (b"x\\y\nz", b"\\D  x\\\\y\\nz\n"),
            (b"a\tb", b"D  a\tb\n"),
            (b"\xff%", b"D  \xff%\n"),
        ];
        for (name, expected) in cases {
            assert_eq!(line("D", OsStr::from_bytes(name)), expected, "{name:?}");
        }
    }

    #[test]
    fn names_in_messages_are_quoted_as_md5sum_does() {
        // The messages of GNU coreutils 9.1 for these names, none of which exists.
        let cases: [(&[u8], &str); 25] = [
            (b"plain.txt", "plain.txt"),
            (b"", "''"),
            (b"no pe", "'no pe'"),
            (b"n'o", "\"n'o\""),
            (b"n'o\"", r#"'n'\''o"'"#),
            (b"it's:", "\"it's:\""),
            (b"a'$", r"'a'\''$'"),
            (b"a:b", "'a:b'"),
            (b"#x", "'#x'"),
            (b"x#", "x#"),
            (b"{", "'{'"),
            (b"a{b", "a{b"),
            (b"a]b", "a]b"),
            (b"a[b", "'a[b'"),
            (b"a\\b", r"'a\b'"),
            (b"%@+,-", "%@+,-"),
            (b"x\ny", r"'x'$'\n''y'"),
            (b"\n\n", r"''$'\n\n'"),
            (b"\x01a", r"''$'\001''a'"),
            (b"\x7f", r"''$'\177'"),
            (b"a\x0b\x1bf", r"'a'$'\v\033''f'"),
            ("\u{e9}".as_bytes(), "\u{e9}"),
            (b"\xff", r"''$'\377'"),
            // coreutils prints these as they are; here characters that make a name look like another are escaped.
            ("a\u{202e}b".as_bytes(), r"'a'$'\342\200\256''b'"),
            (b"\xc3\xa9\xff", "'\u{e9}'$'\\377'"),
        ];
        for (name, expected) in cases {
            assert_eq!(quoted(OsStr::from_bytes(name)), expected);
        }
    }
}
