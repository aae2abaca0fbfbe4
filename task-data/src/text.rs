//! What of Unicode must not be shown as it comes.

pub use program::is_bidi_control;

/// Whether a text can be a name: 1 to `max_chars` characters that can be seen, and no space at its ends. What can't be seen could make one
/// name look like another.
pub fn is_name(text: &str, max_chars: usize) -> bool {
    let is_seen = |c: char| {
        !c.is_control() && !is_bidi_control(c) && !is_invisible(c) && (c == ' ' || !c.is_whitespace())
    };
    (1..=max_chars).contains(&text.chars().count())
        && text.chars().all(is_seen)
        && text.trim().len() == text.len()
}

/// Characters without a width of their own, which nobody sees: of Unicode's `Default_Ignorable_Code_Point` (UAX #44) those that are
/// no part of a visible one.
pub const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}
