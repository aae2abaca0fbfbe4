//! Text from elsewhere, on its way to a terminal.

use std::borrow::Cow;

/// Whether a character is of Unicode's `Bidi_Control` (UAX #9): it turns the direction of text around, and makes it read as another.
pub const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a terminal acts on a character rather than show it: C0 and C1 controls, DEL, bidi controls.
pub fn acts_on_terminal(c: char) -> bool {
    c.is_control() || is_bidi_control(c)
}

/// Returns the text in one line, with `\u{9b}` in the place of each character that a terminal would act on.
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

/// Returns the text with `…` in the place of each URL's user and password.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    const SCHEME_ENDS: &str = "://";
    if !text.contains(SCHEME_ENDS) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(SCHEME_ENDS) {
        let (before, after) = rest.split_at(at + SCHEME_ENDS.len());
        shown.push_str(before);
        // Of a password that has blanks or slashes in it, nothing is shown either.
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
