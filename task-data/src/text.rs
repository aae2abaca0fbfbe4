//! What of Unicode must not be shown as it comes.

/// Unicode's `Bidi_Control` (UAX #9): it turns the direction of text around, and makes it read as another.
pub const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
