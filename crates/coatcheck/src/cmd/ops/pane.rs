//! What all views have in common.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::acts::Act;
use super::keys::Key;
use super::reads::Filter;
use super::text::{Cell, Cursor, Line, Table};

/// Room for a view.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rows: usize,
    pub columns: usize,
}

/// A key of a view, for the line at the bottom and the help.
#[derive(Debug, Clone, Copy)]
pub struct Hint {
    pub key: &'static str,
    pub words: &'static str,
    /// Whether it changes something on the server.
    pub is_change: bool,
}

impl Hint {
    pub const fn of(key: &'static str, words: &'static str) -> Self {
        Self { key, words, is_change: false }
    }

    /// Returns the hint of a key that changes something.
    pub const fn change(key: &'static str, words: &'static str) -> Self {
        Self { is_change: true, ..Self::of(key, words) }
    }
}

/// A step that a key of a view asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// To see a task.
    Open(Uuid),
    /// To see the tasks of a filter.
    List(Filter),
    /// To do something, after a question.
    Ask(Act),
    /// To type a text.
    Type(Field),
    /// To go back.
    Back,
    /// To read why nothing happens.
    Say(&'static str),
}

/// A text that can be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A ticket, or the beginning of a file's name.
    Search,
    ErrorCode,
}

/// A view.
pub trait Pane {
    /// Returns a few words on what it shows; empty for none.
    fn note(&self) -> String {
        String::new()
    }

    /// Returns its keys, beyond those of all views.
    fn hints(&self) -> &'static [Hint];

    /// Returns its lines.
    fn lines(&mut self, size: Size, now: DateTime<Utc>) -> Vec<Line>;

    /// Moves the selection, or the text, by that many rows.
    fn step(&mut self, rows: isize);

    /// Takes a key.
    fn key(&mut self, key: Key) -> Option<Step>;
}

/// Adds as many rows of a list as fit, those around the selected one, under its titles.
pub fn list<T>(
    lines: &mut Vec<Line>,
    table: &Table,
    rows: usize,
    (items, cursor): (&[T], &mut Cursor),
    cells: impl Fn(&T) -> Vec<Cell>,
) {
    let rows = rows.saturating_sub(1);
    let top = cursor.top(rows, items.len());
    lines.push(table.titles());
    let shown = items.iter().enumerate().skip(top).take(rows);
    lines.extend(shown.map(|(at, item)| table.row(cells(item), at == cursor.at())));
}
