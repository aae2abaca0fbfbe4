//! Lines on standard output: unchanged into a pipe or file, and without control characters on a terminal. And a bar for long work.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use program::acts_on_terminal;
use serde_json::Value;

/// Writes lines to standard output, and flushes it.
///
/// # Errors
/// If they can't be written.
pub fn print(lines: &[u8]) -> io::Result<()> {
    let lines = if io::stdout().is_terminal() { harmless(lines) } else { Cow::Borrowed(lines) };
    program::print(&lines)
}

/// Returns the lines with `?` in place of characters that a terminal acts on or can't show, as `ls` prints names.
pub fn harmless(lines: &[u8]) -> Cow<'_, [u8]> {
    // It ignores NUL, which ends lines of `sum -z`.
    let acts = |c: char| !matches!(c, '\n' | '\0') && acts_on_terminal(c);
    if str::from_utf8(lines).is_ok_and(|text| !text.contains(acts)) {
        return Cow::Borrowed(lines);
    }
    let mut shown = String::with_capacity(lines.len());
    for chunk in lines.utf8_chunks() {
        shown.extend(chunk.valid().chars().map(|c| if acts(c) { '?' } else { c }));
        if !chunk.invalid().is_empty() {
            shown.push('?');
        }
    }
    Cow::Owned(shown.into_bytes())
}

/// Returns equal JSON without characters that a terminal acts on, except line breaks.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // In valid JSON all other such characters are in strings, and none is beyond U+FFFF.
        match acts_on_terminal(c) && c != '\n' {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Returns a task, or another JSON value, as one line that is harmless on a terminal.
pub fn json_line(value: &Value) -> String {
    escaped_json(&format!("{value}\n"))
}

/// Runs `work`, and on a terminal shows its progress in a bar of that template.
pub async fn with_bar<T>(
    (bar, template): (ProgressBar, &str),
    show: impl Fn(&ProgressBar),
    work: impl Future<Output = T>,
) -> T {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => show(&bar),
        }
    };
    // Its final state: it was last drawn some time ago.
    show(&bar);
    bar.abandon();
    bar.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_acts_on_no_line() {
        for (lines, shown) in [
            (&b"D  plain\n"[..], &b"D  plain\n"[..]),
            ("D  é\n".as_bytes(), "D  é\n".as_bytes()),
            ("D  a\u{9b}31m\u{7f}\u{202e}b\t\n".as_bytes(), b"D  a?31m??b?\n"),
            (b"D  \x1b[2J\x9b\n", b"D  ?[2J?\n"),
            (b"D  a\x07\0", b"D  a?\0"),
        ] {
            assert_eq!(*harmless(lines), *shown);
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let json = "{\"a\": \"\u{9b}\u{7f}\u{202e}é🧥\"\n}";

        let escaped = escaped_json(json);

        assert_eq!(escaped, "{\"a\": \"\\u009b\\u007f\\u202eé🧥\"\n}");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&escaped), value(json));
    }
}
