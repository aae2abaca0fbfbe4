//! Limits repeated log lines: the first is logged at once, then one line a minute counts the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a repeated line is held back.
const PAUSE: Duration = Duration::from_secs(60);
/// The number of different lines that are counted at a time.
const MOST: usize = 64;

/// The lines of one place in the program, by their text.
#[derive(Debug, Default)]
pub struct Repeated(Mutex<HashMap<String, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// The number of lines held back since then.
    held_back: u64,
}

impl Repeated {
    /// Returns the line to log, or `None` while it is held back. `text` must not contain anything that differs each time.
    pub fn line(&self, text: &str) -> Option<String> {
        self.line_at(text, Instant::now())
    }

    fn line_at(&self, text: &str, now: Instant) -> Option<String> {
        let mut lines = self.0.lock();
        if let Some(told) = lines.get_mut(text) {
            let since = now.duration_since(told.at);
            if since < PAUSE {
                told.held_back += 1;
                return None;
            }
            let held_back = std::mem::take(&mut told.held_back);
            told.at = now;
            return Some(match held_back {
                0 => text.to_owned(),
                times => format!("{text} ({times} more in the last {} s)", since.as_secs()),
            });
        }
        if lines.len() >= MOST {
            lines.retain(|_, told| now.duration_since(told.at) < PAUSE);
        }
        // Beyond the limit every line is logged.
        if lines.len() < MOST {
            lines.insert(text.to_owned(), Told { at: now, held_back: 0 });
        }
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_one_line_a_minute_with_a_count() {
        let (lines, begun) = (Repeated::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);

        assert_eq!(lines.line_at("away", at(0)).as_deref(), Some("away"));
        assert_eq!(lines.line_at("full", at(1)).as_deref(), Some("full"));
        assert!((1..60).all(|second| lines.line_at("away", at(second)).is_none()));
        assert_eq!(lines.line_at("away", at(60)).as_deref(), Some("away (59 more in the last 60 s)"));
        assert_eq!(lines.line_at("away", at(61)), None);
        assert_eq!(lines.line_at("away", at(120)).as_deref(), Some("away (1 more in the last 60 s)"));
        assert_eq!(lines.line_at("away", at(900)).as_deref(), Some("away"));
    }

    #[test]
    fn memory_is_bounded() {
        let (lines, now) = (Repeated::default(), Instant::now());

        assert!((0..10_000).all(|number| lines.line_at(&number.to_string(), now).is_some()));

        assert_eq!(lines.0.lock().len(), MOST);
    }
}
