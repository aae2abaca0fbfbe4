//! Rows of fields: under titles, aligned and coloured on a terminal; in a pipe each row is one line, with one tab between fields.

use std::cell::Cell;
use std::io::{self, IsTerminal};

use chrono::Local;
use client::{Status, Time};
use console::{Alignment, Style, Term, measure_text_width, pad_str, truncate_str};
use program::visible;

/// The text of a field without a value.
pub const NONE: &str = "-";

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// The width on a terminal. For the last column it is the least: on a terminal too narrow for it, rows wrap.
    pub width: usize,
    /// Whether it is a number, which is aligned at its right end.
    pub is_number: bool,
    /// Whether it is left out on a terminal too narrow for all columns.
    pub is_spare: bool,
}

impl Column {
    /// Returns a column of text.
    pub const fn of(title: &'static str, width: usize) -> Self {
        Self { title, width, is_number: false, is_spare: false }
    }

    /// Returns a column of numbers.
    pub const fn number(title: &'static str, width: usize) -> Self {
        Self { is_number: true, ..Self::of(title, width) }
    }

    /// Returns the column as one that is left out on a terminal too narrow for all.
    pub const fn spare(self) -> Self {
        Self { is_spare: true, ..self }
    }
}

/// A field of a row.
#[derive(Debug, Clone)]
pub enum Field {
    Text(String),
    /// A text that differs: for programs in a pipe, and for people on a terminal.
    Either {
        exact: String,
        short: String,
    },
    /// The status of a task, coloured.
    Status(String),
}

/// A table on standard output, written row by row.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    is_terminal: bool,
    /// The width of the terminal, if it tells it.
    width: Option<usize>,
    has_titles: Cell<bool>,
}

impl Table {
    pub fn new(columns: &'static [Column]) -> Self {
        let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        Self { columns, is_terminal: io::stdout().is_terminal(), width, has_titles: Cell::new(false) }
    }

    /// Prints rows; on a terminal, titles before the first.
    ///
    /// # Errors
    /// If standard output can't be written.
    pub fn print(&self, rows: impl IntoIterator<Item = Vec<Field>>) -> io::Result<()> {
        let rows: String = rows.into_iter().map(|fields| self.row(fields)).collect();
        let has_titles = !self.is_terminal || rows.is_empty() || self.has_titles.replace(true);
        let titles = if has_titles { String::new() } else { self.titles() };
        program::print((titles + &rows).as_bytes())
    }

    /// Prints that text on a terminal, for a list without rows. In a pipe, the empty output tells it.
    pub fn print_none(&self, text: &str) {
        if self.is_terminal {
            program::complain(text);
        }
    }

    fn titles(&self) -> String {
        self.aligned(self.columns.iter().map(|column| (column.title.to_owned(), Style::new().bold())))
    }

    fn row(&self, fields: Vec<Field>) -> String {
        if self.is_terminal {
            return self.aligned(fields.into_iter().map(Field::on_terminal));
        }
        let texts: Vec<String> = fields.into_iter().map(Field::in_pipe).collect();
        texts.join("\t") + "\n"
    }

    fn aligned(&self, fields: impl Iterator<Item = (String, Style)>) -> String {
        let (mut line, mut used) = (String::new(), 0);
        let all: usize = self.columns.iter().map(|column| column.width + 2).sum();
        let is_narrow = self.width.is_some_and(|width| width + 2 < all);
        let last = self.columns.len() - 1;
        for (at, (column, (text, colour))) in self.columns.iter().zip(fields).enumerate() {
            if column.is_spare && is_narrow {
                continue;
            }
            let room = self.width.filter(|_| at == last).map(|width| width.saturating_sub(used));
            let text = match room.filter(|room| *room >= column.width) {
                Some(room) => truncate_str(&text, room, "…").into_owned(),
                // The row wraps in any case.
                None => text,
            };
            let side = if column.is_number { Alignment::Right } else { Alignment::Left };
            let padded = if at == last { text.into() } else { pad_str(&text, column.width, side, None) };
            used += measure_text_width(&padded) + 2;
            line.push_str(&colour.apply_to(&padded).for_stdout().to_string());
            line.push_str(if at == last { "\n" } else { "  " });
        }
        line
    }
}

impl Field {
    /// Returns a field of a text, or `-` if it is missing or empty.
    pub fn of(text: Option<&str>) -> Self {
        Self::Text(text.filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned())
    }

    /// Returns a field of the name of a status.
    pub fn status(name: Option<&str>) -> Self {
        Self::Status(name.unwrap_or(NONE).to_owned())
    }

    /// Returns a field of a time: the server's text for programs, and the time of day here for people.
    pub fn clock(time: Option<&Time>) -> Self {
        let here = time.and_then(Time::at).map(|at| at.with_timezone(&Local).format("%H:%M:%S").to_string());
        Self::either(time.map(|time| time.as_str().to_owned()), here)
    }

    /// Returns a field of a text for programs and one for people, or `-` for what is missing.
    pub fn either(exact: Option<String>, short: Option<String>) -> Self {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        Self::Either { exact: or_none(exact), short: or_none(short) }
    }

    fn in_pipe(self) -> String {
        let (Self::Text(text) | Self::Either { exact: text, .. } | Self::Status(text)) = self;
        visible(&text).into_owned()
    }

    fn on_terminal(self) -> (String, Style) {
        let colour = match &self {
            Self::Status(status) => colour(status),
            Self::Text(_) | Self::Either { .. } => Style::new(),
        };
        let (Self::Text(text) | Self::Either { short: text, .. } | Self::Status(text)) = self;
        (visible(&text).into_owned(), colour)
    }
}

/// Returns the colour of a status; the library leaves it out where NO_COLOR is set.
pub fn colour(status: &str) -> Style {
    match Status::of(status) {
        Some(Status::Succeeded) => Style::new().green(),
        Some(Status::Failed) => Style::new().red(),
        Some(Status::Cancelled) => Style::new().yellow(),
        Some(Status::Running) => Style::new().cyan(),
        Some(Status::Pending) | None => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::of("ID", 4),
        Column::of("KIND", 4).spare(),
        Column::number("SIZE", 5),
        Column::of("NAME", 20),
    ];

    fn table(is_terminal: bool, width: Option<usize>) -> Table {
        Table { columns: COLUMNS, is_terminal, width, has_titles: Cell::new(false) }
    }

    fn fields(name: &str) -> Vec<Field> {
        let size = Field::Either { exact: "2048".to_owned(), short: "2 KiB".to_owned() };
        vec![Field::Text("a".to_owned()), Field::of(Some("md5")), size, Field::Text(name.to_owned())]
    }

    #[test]
    fn a_row_in_a_pipe_is_one_line_with_a_tab_between_its_fields() {
        let table = table(false, None);

        assert_eq!(table.row(fields("b\tc\n\u{1b}[2J")), "a\tmd5\t2048\tb\\u{9}c\\u{a}\\u{1b}[2J\n");
        assert_eq!(
            table.row(vec![Field::of(None), Field::of(Some("")), Field::of(None), Field::of(Some("x"))]),
            "-\t-\t-\tx\n"
        );
    }

    #[test]
    fn a_row_on_a_terminal_is_aligned_and_fits_or_wraps_where_that_would_hide_its_name() {
        let name = "n".repeat(50);
        let (whole, narrow) = ("a     md5   2 KiB  ", "a     2 KiB  ");
        for (width, begin, shown) in [
            (None, whole, 50),
            (Some(80), whole, 50),
            (Some(39), whole, 20),
            (Some(38), narrow, 25),
            (Some(10), narrow, 50),
        ] {
            let row = table(true, width).row(fields(&name));

            let row = row.strip_prefix(begin).unwrap_or_else(|| panic!("{row}")).trim_end();
            assert_eq!(measure_text_width(row), shown, "{width:?}: {row}");
        }
    }
}
