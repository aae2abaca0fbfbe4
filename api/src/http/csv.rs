//! CSV output (RFC 4180) in which no cell is a formula, at whichever character a spreadsheet splits lines.
//!
//! After OWASP's [CSV Injection](https://owasp.org/www-community/attacks/CSV_Injection). A spreadsheet that splits at `;` or tabs ignores
//! the quotes and begins cells within ours. So the writer guards every place where a cell may begin, also after a line break (tried in
//! LibreOffice 7.4).

use std::io::{self, Write};

/// Characters that begin a formula, with their full-width forms, which spreadsheets treat as the same.
const SIGNS: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// Characters at which a spreadsheet may split a line, or end it.
const SEPARATORS: [char; 6] = [';', ',', '|', '\t', '\r', '\n'];
/// Blanks that hide such a character at the start of a cell.
const BLANKS: [char; 3] = ['\t', '\r', '\n'];

/// Writes one line of cells.
///
/// # Errors
/// The writer's.
pub fn write_record<'a>(out: &mut impl Write, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        write_cell(out, cell)?;
    }
    out.write_all(b"\r\n")
}

fn write_cell(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    if text.starts_with(BLANKS) {
        out.write_all(b"'")?;
    }
    let mut begins_cell = true;
    for c in text.chars() {
        if begins_cell && SIGNS.contains(&c) {
            out.write_all(b"'")?;
        }
        if c == '"' {
            out.write_all(b"\"")?;
        }
        out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
        begins_cell = SEPARATORS.contains(&c);
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(text: &str) -> String {
        let mut bytes = Vec::new();
        write_cell(&mut bytes, text).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("1=1", r#""1=1""#),
            ("a,\"b\"\n", "\"a,\"\"b\"\"\n\""),
            ("=cmd|' /C calc'!A0", r#""'=cmd|' /C calc'!A0""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@x", r#""'@x""#),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("\t=x", "\"'\t'=x\""),
            ("\u{ff1d}1+1", "\"'\u{ff1d}1+1\""),
            ("\u{ff0b}1", "\"'\u{ff0b}1\""),
            ("\u{ff0d}1", "\"'\u{ff0d}1\""),
            ("\u{ff20}x", "\"'\u{ff20}x\""),
            ("a;=1+1", r#""a;'=1+1""#),
            ("a,-1,+1", r#""a,'-1,'+1""#),
            ("a|@x", r#""a|'@x""#),
            ("a\t=1", "\"a\t'=1\""),
            ("a;\u{ff1d}1", "\"a;'\u{ff1d}1\""),
            (";;=1", r#"";;'=1""#),
            ("a\n=1", "\"a\n'=1\""),
            ("\r\n+1", "\"'\r\n'+1\""),
            ("a; =1", r#""a; =1""#),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_record_is_a_line() {
        let mut bytes = Vec::new();
        write_record(&mut bytes, ["1", "", "a\"b"]).unwrap();

        assert_eq!(String::from_utf8(bytes).unwrap(), "\"1\",\"\",\"a\"\"b\"\r\n");
    }

    proptest! {
        #[test]
        fn no_part_of_a_cell_begins_as_a_formula(text in "[=+@\\-;,|\t\r\n\"a\u{ff1d}\u{ff0d}]{0,12}") {
            let written = cell(&text);
            let content = written[1..written.len() - 1].replace("\"\"", "\"");

            prop_assert!(!content.starts_with(BLANKS));
            for part in content.split(SEPARATORS) {
                prop_assert!(!part.starts_with(SIGNS), "{written}");
            }
            // The guards are the only addition.
            let unguarded = |text: &str| text.replace('\'', "");
            prop_assert_eq!(unguarded(&content), unguarded(&text));
        }
    }
}
