//! Lines of the screen: cut to its width, with styles; tables, charts and times as text.

use chrono::{DateTime, Utc};
use client::Time;
use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};
use indicatif::HumanCount;
use program::visible;

use crate::table::{Column, NONE};

/// The marks of a bar, from an eighth of a row to a whole one.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns before a table's first one: the mark of the selected row.
const MARK: usize = 2;
/// An age of less than a second.
const NOW: &str = "now";
/// Columns between those of a table.
const GAP: usize = 2;

/// The style of titles and names. Bold is not a colour, so it is kept where NO_COLOR is set.
pub const fn strong() -> Style {
    Style::new().bold().force_styling(true)
}

/// The style of the selected row, kept like [`strong`].
pub const fn selected() -> Style {
    Style::new().reverse().force_styling(true)
}

/// A line, up to a width.
#[derive(Debug, Clone)]
pub struct Line {
    text: String,
    used: usize,
    room: usize,
    /// The style of all that is added, in place of its own.
    style: Option<Style>,
}

impl Line {
    /// Returns an empty line of at most that width.
    pub const fn new(room: usize) -> Self {
        Self { text: String::new(), used: 0, room, style: None }
    }

    /// Returns a line with a text.
    pub fn of(room: usize, text: &str) -> Self {
        Self::new(room).and(text, &Style::new())
    }

    /// Returns the line with more text, as far as it fits; without characters that a terminal acts on.
    pub fn and(mut self, text: &str, style: &Style) -> Self {
        let left = self.room - self.used;
        let text = visible(text);
        let text = truncate_str(&text, left, "…");
        if left > 0 && !text.is_empty() {
            self.used += measure_text_width(&text);
            let style = self.style.as_ref().unwrap_or(style).clone();
            self.text.push_str(&style.for_stdout().apply_to(text).to_string());
        }
        self
    }

    /// Returns the line with blanks up to a column.
    pub fn up_to(self, column: usize) -> Self {
        let blanks = " ".repeat(column.saturating_sub(self.used));
        self.and(&blanks, &Style::new())
    }

    /// Returns the line with a text at its right end, if there is room.
    pub fn and_at_end(self, text: &str, style: &Style) -> Self {
        let width = measure_text_width(&visible(text));
        match self.used + width <= self.room {
            true => {
                let column = self.room - width;
                self.up_to(column).and(text, style)
            }
            false => self,
        }
    }

    /// Returns the text with its styles.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A field of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Returns a field with a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// Returns a field, or `-` for a missing text.
    pub fn or_none(text: Option<String>) -> Self {
        text.unwrap_or_else(|| NONE.to_owned()).into()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// A table of a width: spare columns are left out where not all fit, and the last one has the rest, unless it is a number.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    widths: Vec<Option<usize>>,
    room: usize,
}

impl Table {
    /// Returns the table of these columns.
    pub fn new(columns: &'static [Column], room: usize) -> Self {
        let mut widths: Vec<_> = columns.iter().map(|column| Some(column.width)).collect();
        let needed = |widths: &[Option<usize>]| {
            MARK + widths.iter().flatten().map(|width| width + GAP).sum::<usize>() - GAP
        };
        for (at, column) in columns.iter().enumerate().rev() {
            if needed(&widths) > room && column.is_spare {
                widths[at] = None;
            }
        }
        let rest = room.saturating_sub(needed(&widths));
        if let (Some(Some(last)), Some(Column { is_number: false, .. })) = (widths.last_mut(), columns.last())
        {
            *last += rest;
        }
        Self { columns, widths, room }
    }

    /// Returns the line of the titles.
    pub fn titles(&self) -> Line {
        let titles = self.columns.iter().map(|column| Cell::styled(column.title, strong())).collect();
        self.row(titles, false)
    }

    /// Returns the line of a row.
    pub fn row(&self, cells: Vec<Cell>, is_selected: bool) -> Line {
        let mut line = Line::new(self.room);
        line.style = is_selected.then(selected);
        line = line.and(if is_selected { "> " } else { "  " }, &Style::new());
        let shown = self.columns.iter().zip(&self.widths).zip(cells);
        for (at, ((column, width), cell)) in
            shown.filter_map(|((column, width), cell)| Some(((column, (*width)?), cell))).enumerate()
        {
            let side = if column.is_number { Alignment::Right } else { Alignment::Left };
            let text = visible(&cell.text);
            let text = pad_str(&text, width, side, Some("…"));
            let gap = if at == 0 { "" } else { "  " };
            line = line.and(gap, &Style::new()).and(&text, &cell.style);
        }
        line
    }
}

/// The row of a list that is selected. It stays at its item while others come and go; at the first row it stays there.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    at: usize,
    key: Option<String>,
    /// The first row that is shown.
    top: usize,
}

impl Cursor {
    /// Puts the cursor on its item, or near to where that was.
    pub fn settle(&mut self, keys: &[String]) {
        let own = self.key.take().filter(|_| self.at > 0);
        let found = own.and_then(|own| keys.iter().position(|key| *key == own));
        self.at = found.unwrap_or(self.at).min(keys.len().saturating_sub(1));
        self.key = keys.get(self.at).cloned();
    }

    /// Moves the cursor by that many rows.
    pub fn step(&mut self, rows: isize, keys: &[String]) {
        self.settle(keys);
        self.at = self.at.saturating_add_signed(rows).min(keys.len().saturating_sub(1));
        self.key = keys.get(self.at).cloned();
    }

    /// Returns the number of the selected row.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Returns the first row to show, of which `rows` fit: such that the selected one is among them.
    pub fn top(&mut self, rows: usize, all: usize) -> usize {
        self.top =
            self.top.min(self.at).max((self.at + 1).saturating_sub(rows)).min(all.saturating_sub(rows));
        self.top
    }
}

/// Returns the rows of a chart with a bar for each value, the highest row first.
pub fn bars(values: &[Option<f64>], rows: usize) -> Vec<String> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let eighths = |value: Option<f64>| match value {
        Some(value) if most > 0.0 => (value / most * (rows * 8) as f64).ceil() as usize,
        _ => 0,
    };
    let row = |row: usize| {
        values.iter().map(|value| EIGHTHS[eighths(*value).saturating_sub(row * 8).min(8)]).collect()
    };
    (0..rows).rev().map(row).collect()
}

/// Breaks a text into lines of at most that width, where that is possible at blanks.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in visible(text).split(' ') {
        let mut word = word;
        if !line.is_empty() && measure_text_width(&line) + 1 + measure_text_width(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // A word longer than a line.
        while measure_text_width(word) > width.max(1) {
            let begin =
                truncate_str(word, width.max(1), "").len().max(word.chars().next().map_or(1, char::len_utf8));
            lines.push(word[..begin].to_owned());
            word = &word[begin..];
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Formats a length of time: `12ms`, `3.2s`, `42s`, `4m10s`, `2h05m`, `3d04h`.
pub fn lasting(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.9995 {
        return format!("{:.0}ms", seconds * 1000.0);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86400, whole % 86400 / 3600),
    }
}

/// Formats a number with up to nine characters.
pub fn number(number: u64) -> String {
    match number {
        0..10_000_000 => HumanCount(number).to_string(),
        10_000_000..10_000_000_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{:.1}G", number as f64 / 1e9),
    }
}

/// Returns the seconds from one time to another.
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

/// Returns how long ago a time was, in whole seconds: with fractions it would change at each look.
pub fn age(time: Option<&Time>, now: DateTime<Utc>) -> Option<String> {
    let seconds = between(time?.at()?, now);
    Some(if seconds < 1.0 { NOW.to_owned() } else { lasting_whole(seconds) })
}

/// Returns when a time was, in words.
pub fn ago(time: Option<&Time>, now: DateTime<Utc>) -> Option<String> {
    let age = age(time, now)?;
    Some(if age == NOW { age } else { format!("{age} ago") })
}

/// Formats a length of time as [`lasting`], without parts of a second.
pub fn lasting_whole(seconds: f64) -> String {
    let whole = seconds.max(0.0).floor();
    if whole < 10.0 { format!("{whole:.0}s") } else { lasting(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        for (seconds, text) in [
            (-1.0, "0ms"),
            (0.0021, "2ms"),
            (0.9999, "1.0s"),
            (3.21, "3.2s"),
            (9.99, "10s"),
            (59.6, "1m00s"),
            (250.0, "4m10s"),
            (7500.0, "2h05m"),
            (273_600.0, "3d04h"),
        ] {
            assert_eq!(lasting(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn large_numbers_are_short() {
        let told = [0, 1234, 9_999_999, 10_000_000, 12_345_000_000].map(number);

        assert_eq!(told, ["0", "1,234", "9,999,999", "10.0M", "12.3G"]);
    }

    #[test]
    fn a_line_is_never_wider_than_its_room() {
        for room in 0..12 {
            let line = Line::new(room)
                .and("wide 🧥🧥", &strong())
                .and("\u{1b}[2J", &Style::new())
                .and_at_end("end", &strong());
            let text = line.into_text();
            assert!(measure_text_width(&text) <= room, "{room}: {text:?}");
            assert!(!text.contains("\u{1b}[2J"), "{text:?}");
        }
    }

    #[test]
    fn a_bar_is_as_high_as_its_part_of_the_highest() {
        let values = [None, Some(0.0), Some(0.1), Some(4.0), Some(8.0)];

        assert_eq!(bars(&values, 1), ["  ▁▄█"]);
        assert_eq!(bars(&values, 2), ["    █", "  ▁██"]);
        assert_eq!(bars(&[Some(0.0)], 1), [" "]);
    }

    #[test]
    fn words_are_wrapped_and_long_ones_cut() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrapped("🧥", 1), ["🧥", ""]);
        assert_eq!(wrapped("", 5), [""]);
    }

    #[test]
    fn the_cursor_stays_at_its_item() {
        let keys = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let mut cursor = Cursor::default();
        cursor.step(2, &keys("abcd"));
        assert_eq!(cursor.at(), 2);
        cursor.settle(&keys("xyabcd"));
        assert_eq!(cursor.at(), 4);
        // Its item is gone.
        cursor.settle(&keys("xy"));
        assert_eq!(cursor.at(), 1);
        cursor.step(-5, &keys("xy"));
        cursor.settle(&keys("axy"));
        assert_eq!(cursor.at(), 0);
        cursor.step(9, &[]);
        assert_eq!((cursor.at(), cursor.top(5, 0)), (0, 0));
        cursor.step(9, &keys("abcdefghij"));
        assert_eq!(cursor.top(4, 10), 6);
    }
}
