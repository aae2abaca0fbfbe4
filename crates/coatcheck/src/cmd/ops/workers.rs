//! The view of the worker processes, and what each runs.

use chrono::{DateTime, Utc};
use client::{RunningTask, Status, Time, Worker};
use console::Style;
use indicatif::HumanCount;
use program::counted;

use super::acts::{Act, Named};
use super::keys::Key;
use super::pane::{Hint, Pane, Size, Step, list};
use super::reads::Filter;
use super::text::{Cell, Cursor, Line, Table, age, between, lasting_whole};
use crate::table::{Column, colour};

const COLUMNS: &[Column] = &[
    Column::of("WORKER", 24),
    Column::of("STATE", 10),
    Column::number("RUNNING", 7),
    Column::number("HEARD OF", 8),
    Column::of("LONGEST TASK", 17),
];
const HELD: &[Column] = &[Column::of("IT RUNS", 36), Column::of("KIND", 8), Column::of("FOR", 7)];
const HINTS: &[Hint] = &[Hint::of("Enter", "its tasks"), Hint::change("d", "drain, or undo it")];

/// The view.
#[derive(Debug, Default)]
pub struct Workers {
    workers: Option<Vec<Worker>>,
    cursor: Cursor,
}

impl Workers {
    /// Takes what was read.
    pub fn set(&mut self, workers: Vec<Worker>) {
        self.workers = Some(workers);
        self.cursor.settle(&self.keys());
    }

    fn keys(&self) -> Vec<String> {
        self.workers.iter().flatten().map(|worker| worker.id.to_string()).collect()
    }

    fn selected(&self) -> Option<&Worker> {
        self.workers.as_ref()?.get(self.cursor.at())
    }
}

/// Returns the state of a worker. It is late once half of its lease has passed without a heartbeat: they come several times within it.
fn state(worker: &Worker, now: DateTime<Utc>) -> Cell {
    let times = worker.seen.as_ref().and_then(Time::at).zip(worker.lease_until.as_ref().and_then(Time::at));
    match times {
        Some((_, until)) if now > until => Cell::styled("lease over", colour(Status::Failed.name())),
        Some((seen, until)) if between(seen, now) > between(seen, until) / 2.0 => {
            Cell::styled("late", Style::new().yellow())
        }
        _ if worker.draining => Cell::styled("drains", Style::new().yellow()),
        _ => Cell::styled("works", colour(Status::Succeeded.name())),
    }
}

fn lasts(task: &RunningTask, now: DateTime<Utc>) -> Option<String> {
    Some(lasting_whole(between(task.started.as_ref()?.at()?, now)))
}

fn cells(worker: &Worker, now: DateTime<Utc>) -> Vec<Cell> {
    let longest = worker
        .tasks
        .iter()
        .filter(|task| task.started.is_some())
        .min_by_key(|task| task.started.as_ref().and_then(Time::at));
    let longest = longest.map(|task| {
        format!("{} for {}", task.kind.as_deref().unwrap_or("?"), lasts(task, now).unwrap_or_default())
    });
    vec![
        worker.name.as_str().into(),
        state(worker, now),
        HumanCount(worker.running).to_string().into(),
        Cell::or_none(age(worker.seen.as_ref(), now)),
        Cell::or_none(longest),
    ]
}

impl Pane for Workers {
    fn note(&self) -> String {
        let Some(workers) = &self.workers else { return String::new() };
        let running = workers.iter().map(|worker| worker.running).sum();
        format!("{}, {}", counted(workers.len() as u64, "worker"), counted(running, "running task"))
    }

    fn hints(&self) -> &'static [Hint] {
        HINTS
    }

    fn lines(&mut self, Size { rows, columns }: Size, now: DateTime<Utc>) -> Vec<Line> {
        let Some(workers) = &self.workers else { return Vec::new() };
        if workers.is_empty() {
            return vec![Line::of(
                columns,
                "  No worker has a lease: what is pending waits until one starts.",
            )];
        }
        let mut lines = Vec::new();
        let held = self.selected().map_or(0, |worker| worker.tasks.len());
        let held = if held == 0 { 0 } else { held + 2 }.min(rows / 2);
        let table = Table::new(COLUMNS, columns);
        let room = (workers.len() + 1).min(rows.saturating_sub(held));
        list(&mut lines, &table, room, (workers, &mut self.cursor), |worker| cells(worker, now));
        if let (Some(worker), true) = (self.selected(), held > 0) {
            let table = Table::new(HELD, columns);
            let more = worker.running.saturating_sub(worker.tasks.len() as u64);
            let titles = table.titles();
            lines.push(Line::new(columns));
            lines.push(if more > 0 {
                titles.and_at_end(&format!("and {} more", HumanCount(more)), &Style::new())
            } else {
                titles
            });
            lines.extend(worker.tasks.iter().map(|task| {
                let kind = task.kind.clone();
                table.row(
                    vec![task.id.to_string().into(), Cell::or_none(kind), Cell::or_none(lasts(task, now))],
                    false,
                )
            }));
        }
        lines
    }

    fn step(&mut self, rows: isize) {
        let keys = self.keys();
        self.cursor.step(rows, &keys);
    }

    fn key(&mut self, key: Key) -> Option<Step> {
        if matches!(key, Key::Escape | Key::Backspace) {
            return Some(Step::Back);
        }
        let worker = self.selected()?;
        let named = || Named { id: worker.id, name: worker.name.clone() };
        match key {
            Key::Enter => Some(Step::List(Filter {
                status: Some(Status::Running),
                worker: Some(worker.id),
                ..Filter::default()
            })),
            Key::Char('d') if worker.draining => Some(Step::Ask(Act::UndoDrain(named()))),
            Key::Char('d') => Some(Step::Ask(Act::Drain { worker: named(), running: worker.running })),
            _ => None,
        }
    }
}
