//! The view of what operators and admins have done.

use chrono::{DateTime, Utc};
use client::Act;

use super::keys::Key;
use super::pane::{Hint, Pane, Size, Step, list};
use super::text::{Cell, Cursor, Line, Table, age};
use crate::table::Column;

const COLUMNS: &[Column] = &[
    Column::number("AGO", 6),
    Column::of("WHO", 15),
    Column::of("ACT", 12),
    Column::of("TARGET", 36),
    Column::of("DETAIL", 12).spare(),
];

/// The view.
#[derive(Debug, Default)]
pub struct Audit {
    acts: Option<Vec<Act>>,
    cursor: Cursor,
}

impl Audit {
    /// Takes what was read.
    pub fn set(&mut self, acts: Vec<Act>) {
        self.acts = Some(acts);
        self.cursor.settle(&self.keys());
    }

    fn keys(&self) -> Vec<String> {
        self.acts.iter().flatten().map(|act| act.id.to_string()).collect()
    }
}

impl Pane for Audit {
    fn hints(&self) -> &'static [Hint] {
        &[]
    }

    fn lines(&mut self, Size { rows, columns }: Size, now: DateTime<Utc>) -> Vec<Line> {
        let Some(acts) = &self.acts else { return Vec::new() };
        if acts.is_empty() {
            return vec![Line::of(columns, "  Nothing was done yet.")];
        }
        let mut lines = Vec::new();
        list(&mut lines, &Table::new(COLUMNS, columns), rows, (acts, &mut self.cursor), |act| {
            let Act { at, who, act, target, detail, .. } = act;
            let texts = [age(at.as_ref(), now), who.clone(), act.clone(), target.clone(), detail.clone()];
            texts.into_iter().map(Cell::or_none).collect()
        });
        lines
    }

    fn step(&mut self, rows: isize) {
        let keys = self.keys();
        self.cursor.step(rows, &keys);
    }

    fn key(&mut self, key: Key) -> Option<Step> {
        matches!(key, Key::Escape | Key::Backspace).then_some(Step::Back)
    }
}
