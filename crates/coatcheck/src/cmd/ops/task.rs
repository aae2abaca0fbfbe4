//! The view of one task: what it is, how it went, and its attempts.

use chrono::{DateTime, Utc};
use client::{AsSent, Attempt, Status, Task, Time};
use console::Style;
use indicatif::{HumanBytes, HumanCount};
use uuid::Uuid;

use super::keys::Key;
use super::pane::{Hint, Pane, Size, Step};
use super::tasks::{act, named, told, took};
use super::text::{Cell, Line, Table, ago, between, lasting, lasting_whole, strong, wrapped};
use crate::cmd::watch::detail;
use crate::table::{Column, colour};

/// The column in which facts begin.
const FACTS: usize = 16;

const COLUMNS: &[Column] = &[
    Column::number("#", 4),
    Column::of("WORKER", 36).spare(),
    Column::number("BEGAN", 10),
    Column::number("TOOK", 6),
    Column::of("RESULT", 20),
];
const HINTS: &[Hint] = &[
    Hint::of("Esc", "back"),
    Hint::of("↑↓", "scroll"),
    Hint::change("r", "retry"),
    Hint::change("c", "cancel"),
];

/// The view.
#[derive(Debug, Default)]
pub struct One {
    pub id: Uuid,
    read: Option<(Box<AsSent<Task>>, Vec<Attempt>)>,
    /// The first line that is shown, and the last one that may be.
    top: usize,
    last_top: usize,
}

impl One {
    /// Shows another task.
    pub fn open(&mut self, id: Uuid) {
        *self = Self { id, ..Self::default() };
    }

    /// Takes what was read.
    pub fn set(&mut self, task: Box<AsSent<Task>>, attempts: Vec<Attempt>) {
        self.read = Some((task, attempts));
    }
}

fn facts(task: &AsSent<Task>, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let time = |time: Option<&Time>| Some(format!("{} ({})", time?.as_str(), ago(time, now)?));
    let next =
        |time: &Time| Some(format!("{} (in {})", time.as_str(), lasting_whole(between(now, time.at()?))));
    let progress = &task.json()["progress"];
    let progress = progress["rows"].as_u64().map(|rows| {
        let number = |name: &str| HumanCount(progress[name].as_u64().unwrap_or_default());
        format!("{} rows: {} sent, {} failed", HumanCount(rows), number("sent"), number("failed"))
    });
    let size = |size: u64| format!("{} ({} bytes)", HumanBytes(size), HumanCount(size));
    let all = [
        ("Ticket", Some(task.id.to_string())),
        ("Kind", task.kind.clone()),
        ("Created", time(task.created.as_ref())),
        ("Began", time(task.started.as_ref())),
        ("Ended", time(task.finished.as_ref())),
        ("Attempts", task.attempt.map(|attempt| attempt.to_string())),
        ("Next attempt", task.next_attempt.as_ref().and_then(next)),
        ("Size", task.input.size.map(size)),
        ("Text", task.input.text.clone()),
        ("Progress", progress),
        ("Result", task.result.as_ref().and_then(|_| detail(task))),
        ("Retry of", task.retried_from.map(|from| from.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Adds a fact, in as many lines as it needs.
fn add(lines: &mut Vec<Line>, columns: usize, name: &str, value: &str, style: &Style) {
    for (number, part) in wrapped(value, columns.saturating_sub(FACTS)).iter().enumerate() {
        let name = if number == 0 { name } else { "" };
        let line = Line::of(columns, "  ").and(name, &strong());
        lines.push(line.up_to(FACTS).and(part, style));
    }
}

fn attempt_cells(attempt: &Attempt, now: DateTime<Utc>) -> Vec<Cell> {
    let Attempt { number, worker, started, ended, error } = attempt;
    let result = match (error, ended) {
        (Some(error), _) => Cell::styled(told(error), colour(Status::Failed.name())),
        (None, Some(_)) => Cell::styled(Status::Succeeded.name(), colour(Status::Succeeded.name())),
        (None, None) => Cell::styled(Status::Running.name(), colour(Status::Running.name())),
    };
    let end = ended.as_ref().map_or(Some(now), Time::at);
    let took = started.as_ref().and_then(Time::at).zip(end).map(|(from, to)| lasting(between(from, to)));
    vec![
        number.to_string().into(),
        Cell::or_none(worker.map(|worker| worker.to_string())),
        Cell::or_none(ago(started.as_ref(), now)),
        Cell::or_none(took),
        result,
    ]
}

impl Pane for One {
    fn hints(&self) -> &'static [Hint] {
        HINTS
    }

    fn lines(&mut self, Size { rows, columns }: Size, now: DateTime<Utc>) -> Vec<Line> {
        let Some((task, attempts)) = &self.read else {
            return vec![Line::of(columns, "  ").and(&self.id.to_string(), &strong())];
        };
        let status = task.status_name.clone().unwrap_or_default();
        let mut title = Line::of(columns, "  ")
            .and(&named(task).name, &strong())
            .and("  ", &Style::new())
            .and(&status, &colour(&status));
        let time = |time: &Option<Time>| time.as_ref().and_then(Time::at);
        if let Some(created) = time(&task.created) {
            let begun = time(&task.started).filter(|_| task.status() != Some(Status::Pending));
            let begun = begun.or(time(&task.finished)).unwrap_or(now);
            title = title.and(&format!("  waited {}", lasting(between(created, begun))), &Style::new());
        }
        if let Some(took) = took(task, now) {
            let word = if task.finished.is_some() { "worked" } else { "works for" };
            title = title.and(&format!(", {word} {}", lasting(took)), &Style::new());
        }
        let mut lines = vec![title, Line::new(columns)];
        if let Some(filename) = &task.input.filename {
            add(&mut lines, columns, "File", filename, &Style::new());
        }
        for (name, value) in facts(task, now) {
            add(&mut lines, columns, name, &value, &Style::new());
        }
        if let Some(error) = &task.error {
            add(
                &mut lines,
                columns,
                "Error",
                error.code.as_deref().unwrap_or("?"),
                &colour(Status::Failed.name()),
            );
            add(&mut lines, columns, "", error.detail.as_deref().unwrap_or_default(), &Style::new());
        }
        lines.push(Line::new(columns));
        match attempts.is_empty() {
            true => lines.push(Line::of(columns, "  No attempt to show.")),
            false => {
                let table = Table::new(COLUMNS, columns);
                lines.push(table.titles());
                lines.extend(attempts.iter().map(|attempt| table.row(attempt_cells(attempt, now), false)));
            }
        }
        self.last_top = lines.len().saturating_sub(rows);
        self.top = self.top.min(self.last_top);
        lines.split_off(self.top)
    }

    fn step(&mut self, rows: isize) {
        self.top = self.top.saturating_add_signed(rows).min(self.last_top);
    }

    fn key(&mut self, key: Key) -> Option<Step> {
        match key {
            Key::Escape | Key::Backspace => Some(Step::Back),
            key => act(&self.read.as_ref()?.0, key),
        }
    }
}
