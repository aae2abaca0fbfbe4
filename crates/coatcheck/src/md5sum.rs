//! Lines as GNU md5sum writes them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// The form of a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    /// `MD5 (name) = digest`, as BSD's tools write it.
    pub is_tagged: bool,
    /// A `*` before the name, which says that the file was read as binary.
    pub is_binary: bool,
    /// A NUL at the line's end, and the name as it is.
    pub ends_with_nul: bool,
}

impl Form {
    /// Returns the line of a file, with its end. A name with a backslash, newline or carriage return is escaped, and a backslash at the
    /// line's start marks that. All other bytes of the name are as given.
    pub fn line(self, digest: impl Display, name: &OsStr) -> Vec<u8> {
        let name = name.as_bytes();
        let mut line = Vec::with_capacity(1 + 32 + 9 + 2 * name.len() + 1);
        let is_escaped = !self.ends_with_nul && name.iter().any(|byte| escape_of(*byte).is_some());
        if is_escaped {
            line.push(b'\\');
        }
        // Writing to memory can't fail.
        if self.is_tagged {
            line.extend_from_slice(b"MD5 (");
            push_name(&mut line, name, is_escaped);
            let _ = write!(line, ") = {digest}");
        } else {
            let _ = write!(line, "{digest} {}", if self.is_binary { '*' } else { ' ' });
            push_name(&mut line, name, is_escaped);
        }
        line.push(if self.ends_with_nul { 0 } else { b'\n' });
        line
    }
}

/// Returns the line of a file as `md5sum` writes it without flags.
pub fn line(digest: impl Display, name: &OsStr) -> Vec<u8> {
    Form::default().line(digest, name)
}

/// Returns a line of `md5sum --check`, in which only a newline makes a name escaped.
pub fn verdict(name: &OsStr, verdict: &str) -> Vec<u8> {
    let (name, mut line) = (name.as_bytes(), Vec::new());
    let is_escaped = name.contains(&b'\n');
    if is_escaped {
        line.push(b'\\');
    }
    push_name(&mut line, name, is_escaped);
    let _ = writeln!(line, ": {verdict}");
    line
}

fn push_name(line: &mut Vec<u8>, name: &[u8], is_escaped: bool) {
    if !is_escaped {
        return line.extend_from_slice(name);
    }
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
}
