//! Names in messages, quoted as GNU's tools quote them: a name that a shell would take for something else, or that would break a line, is
//! quoted for that shell.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

use program::is_bidi_control;

/// Returns a name for a message: as it is, or in quotes for a shell if it has characters that mean something to one.
pub fn quoted(name: &OsStr) -> String {
    quoted_by(name, is_shown)
}

/// Returns whether a character is printed as it is: where the locale says so, and on a terminal also only if it does not change how others
/// are read.
fn is_shown(character: char) -> bool {
    static IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());
    locale::prints(character) && !(is_bidi_control(character) && *IS_TERMINAL)
}

/// The characters of the user's locale (`LC_ALL`, `LC_CTYPE`, `LANG`), as the C library knows them.
mod locale {
    use std::ffi::{CStr, c_int, c_uint};
    use std::sync::LazyLock;

    use nix::libc::{CODESET, LC_CTYPE, nl_langinfo, setlocale};

    unsafe extern "C" {
        safe fn iswprint(character: c_uint) -> c_int;
    }

    /// Whether names are UTF-8; in other locales the characters beyond ASCII are not known.
    static IS_UTF_8: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: the name of the locale and the answer are C strings; nothing else of this process uses or changes the locale.
        unsafe {
            setlocale(LC_CTYPE, c"".as_ptr());
            let codeset = nl_langinfo(CODESET);
            !codeset.is_null() && CStr::from_ptr(codeset) == c"UTF-8"
        }
    });

    pub fn prints(character: char) -> bool {
        match character.is_ascii() {
            true => !character.is_ascii_control(),
            false => *IS_UTF_8 && iswprint(character.into()) != 0,
        }
    }
}

fn quoted_by(name: &OsStr, is_shown: impl Fn(char) -> bool) -> String {
    let bytes = name.as_bytes();
    let is_plain = |(at, character): (usize, char)| match character {
        '#' | '~' => at > 0,
        '{' | '}' => bytes.len() > 1,
        _ => is_shown(character) && !" !\"$&'()*:;<=>?[\\^`|".contains(character),
    };
    let text = std::str::from_utf8(bytes);
    if !bytes.is_empty() && text.is_ok_and(|text| text.char_indices().all(is_plain)) {
        return name.to_string_lossy().into_owned();
    }
    let is_same_in_double_quotes = |byte: &u8| byte.is_ascii_alphanumeric() || b" %'+,-./:]_".contains(byte);
    if bytes.contains(&b'\'') && bytes.iter().all(is_same_in_double_quotes) {
        return format!("\"{}\"", name.to_string_lossy());
    }

    // coreutils begins anew at a single quote, and then still is where the name ended.
    let ends_in_escapes = match bytes.utf8_chunks().last() {
        Some(chunk) if chunk.invalid().is_empty() => {
            chunk.valid().chars().last().is_some_and(|c| !is_shown(c))
        }
        chunk => chunk.is_some(),
    };
    let (mut quoted, mut is_in_escapes) = ("'".to_owned(), ends_in_escapes && bytes.contains(&b'\''));
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !is_shown(character) {
                let mut utf8 = [0; 4];
                escape(character.encode_utf8(&mut utf8).as_bytes(), &mut is_in_escapes, &mut quoted);
                continue;
            }
            // Such a quote ends the escapes itself.
            if std::mem::take(&mut is_in_escapes) && character != '\'' {
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
    use program::acts_on_terminal;

    use super::*;

    #[test]
    fn names_in_messages_are_quoted_as_md5sum_does() {
        // The messages of GNU coreutils 9.1 for these names, none of which exists.
        let cases: [(&[u8], &str); 26] = [
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
            (b"\xff'", r"''$'\377'\'''"),
            // coreutils prints these as they are, and so does `sum`, except on a terminal: they make a name look like another.
            ("a\u{202e}b".as_bytes(), r"'a'$'\342\200\256''b'"),
            (b"\xc3\xa9\xff", "'\u{e9}'$'\\377'"),
        ];
        for (name, expected) in cases {
            assert_eq!(quoted_by(OsStr::from_bytes(name), |c| !acts_on_terminal(c)), expected);
        }
    }

    #[test]
    fn a_locale_without_such_characters_shows_their_bytes() {
        let name = OsStr::from_bytes("n\u{e9} ".as_bytes());

        assert_eq!(quoted_by(name, |c| c.is_ascii_graphic() || c == ' '), r"'n'$'\303\251'' '");
    }
}
