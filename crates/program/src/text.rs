//! Foreign text, made safe for a terminal, and checked as a name.

use std::borrow::Cow;

/// Returns whether a character is in Unicode's `Bidi_Control` (UAX #9): it changes the direction of text, which then reads as another text.
pub const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a terminal acts on a character instead of showing it: C0 and C1 controls, DEL, bidi controls.
pub fn acts_on_terminal(c: char) -> bool {
    c.is_control() || is_bidi_control(c)
}

/// Formats a number of things: `1 line`, `2 lines`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Returns whether a text is a valid name: 1 to `max_chars` visible characters, without a space at either end. Invisible characters could
/// make one name look like another.
pub fn is_name(text: &str, max_chars: usize) -> bool {
    let is_seen = |c: char| {
        !c.is_control() && !is_bidi_control(c) && !is_invisible(c) && (c == ' ' || !c.is_whitespace())
    };
    (1..=max_chars).contains(&text.chars().count())
        && text.chars().all(is_seen)
        && text.trim().len() == text.len()
}

/// Returns whether a character has no width of its own, and so is invisible: the characters of Unicode's `Default_Ignorable_Code_Point`
/// (UAX #44) that are not part of a visible one.
pub const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns the text in one line, with an escape such as `\u{9b}` for each character that a terminal acts on.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(acts_on_terminal) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match acts_on_terminal(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Returns the text without the system's error numbers: "No such file or directory" for "No such file or directory (os error 2)".
pub fn without_numbers(text: &str) -> String {
    const BEGINS: &str = " (os error ";
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(BEGINS) {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    shown.push_str(rest);
    shown
}

/// Returns the text with `…` in place of each URL's user and password.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    const SCHEME_ENDS: &str = "://";
    if !text.contains(SCHEME_ENDS) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(SCHEME_ENDS) {
        let (before, after) = rest.split_at(at + SCHEME_ENDS.len());
        shown.push_str(before);
        // A password that contains blanks or slashes is hidden too.
        let next = after.find(SCHEME_ENDS).unwrap_or(after.len());
        rest = match after[..next].rfind('@') {
            Some(at) => {
                shown.push('…');
                &after[at..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown() {
        assert_eq!(visible("a é 🧥"), "a é 🧥");
        assert_eq!(
            visible("a\u{9b}31m\u{7f}\u{1b}[0m\u{202e}b\n"),
            r"a\u{9b}31m\u{7f}\u{1b}[0m\u{202e}b\u{a}"
        );
    }

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (text, shown) in [
            ("a://h/p", "a://h/p"),
            ("value 'http://u:p@h:x' for", "value 'http://…@h:x' for"),
            ("http://u:a b/c@d@h", "http://…@h"),
            ("a://u:p@h,b://v:q@i", "a://…@h,b://…@i"),
            ("a://h, b://v:q@i", "a://h, b://…@i"),
            ("none", "none"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
