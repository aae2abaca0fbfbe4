//! The view of a list of tasks.

use chrono::{DateTime, Utc};
use client::{Action, Status, Task, TaskError, TaskList};
use console::{Style, truncate_str};
use indicatif::HumanBytes;
use task_data::kinds::Kind;

use super::acts::{Act, Named};
use super::keys::Key;
use super::pane::{Field, Hint, Pane, Size, Step, list};
use super::reads::{Filter, Read};
use super::text::{Cell, Cursor, Line, Table, age, between, lasting, number, strong};
use crate::cmd::ls;
use crate::table::{Column, colour};

/// The tasks that are read at first, and that are added when the selection comes to their end.
const PIECE: usize = 100;
/// The most of a page.
const MOST: usize = 1000;
/// The most columns of a task's name in a question.
const LONGEST_NAME: usize = 40;

const COLUMNS: &[Column] = &[
    Column::of("ID", 36).spare(),
    Column::of("KIND", 8),
    Column::of("STATUS", 9),
    Column::number("CREATED", 7),
    Column::number("TOOK", 6),
    Column::number("SIZE", 10).spare(),
    Column::of("NAME, ERROR", 20),
];
const HINTS: &[Hint] = &[
    Hint::of("Enter", "open"),
    Hint::of("/", "search"),
    Hint::change("r", "retry"),
    Hint::change("c", "cancel"),
    Hint::of("s", "status"),
    Hint::of("t", "kind"),
    Hint::change("R", "retry all"),
    Hint::change("C", "cancel all"),
    Hint::of("e", "error code"),
    Hint::of("o", "order"),
];

/// The view.
#[derive(Debug)]
pub struct Tasks {
    pub filter: Filter,
    is_oldest_first: bool,
    limit: usize,
    page: Option<TaskList>,
    cursor: Cursor,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            is_oldest_first: false,
            limit: PIECE,
            page: None,
            cursor: Cursor::default(),
        }
    }
}

impl Tasks {
    /// Shows the tasks of another filter.
    pub fn search(&mut self, filter: Filter) {
        *self = Self { filter, is_oldest_first: self.is_oldest_first, ..Self::default() };
    }

    /// Returns what to read.
    pub fn read(&self) -> Read {
        Read::Tasks { filter: self.filter.clone(), is_oldest_first: self.is_oldest_first, limit: self.limit }
    }

    /// Takes what was read.
    pub fn set(&mut self, page: TaskList) {
        self.page = Some(page);
        self.cursor.settle(&self.keys());
    }

    fn tasks(&self) -> &[client::AsSent<Task>] {
        self.page.as_ref().map_or(&[], |page| &page.tasks)
    }

    fn keys(&self) -> Vec<String> {
        self.tasks().iter().map(|task| task.id.to_string()).collect()
    }

    fn selected(&self) -> Option<&Task> {
        self.tasks().get(self.cursor.at()).map(|task| &**task)
    }

    fn summary(&self, columns: usize) -> Line {
        let words = self.filter.words();
        let order = if self.is_oldest_first { ", oldest first" } else { ", newest first" };
        Line::of(columns, "  ")
            .and(if words.is_empty() { "all tasks" } else { &words }, &strong())
            .and(order, &Style::new())
    }

    /// Returns the same filter with another status. A code stands for failed tasks alone, and a worker has running ones.
    fn with_status(&self, status: Option<Status>) -> Filter {
        let Filter { kind, error_code, filename, worker, .. } = self.filter.clone();
        let error_code = error_code.filter(|_| status == Some(Status::Failed));
        let worker = worker.filter(|_| status == Some(Status::Running));
        Filter { status, kind, error_code, filename, worker }
    }
}

/// Returns the value after that one in a ring of all and none.
fn next<T: PartialEq + Copy>(all: &[T], value: Option<T>) -> Option<T> {
    let Some(value) = value else { return all.first().copied() };
    let at = all.iter().position(|one| *one == value)?;
    all.get(at + 1).copied()
}

/// Returns a task, as a question names it.
pub fn named(task: &Task) -> Named {
    let name = ls::name(task).or(task.kind.as_deref()).unwrap_or("the task");
    Named { id: task.id, name: truncate_str(&program::visible(name), LONGEST_NAME, "…").into_owned() }
}

/// Returns how long the last attempt took, or takes; `None` for a task that waits for one.
pub fn took(task: &Task, now: DateTime<Utc>) -> Option<f64> {
    if task.status() == Some(Status::Pending) {
        return None;
    }
    let end = task.finished.as_ref().map_or(Some(now), client::Time::at)?;
    Some(between(task.started.as_ref()?.at()?, end))
}

/// Returns the code and the detail of an error.
pub fn told(error: &TaskError) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}: {}", text(&error.code), text(&error.detail))
}

fn cells(task: &Task, now: DateTime<Utc>) -> Vec<Cell> {
    let status = task.status_name.clone().unwrap_or_default();
    let style = colour(&status);
    let parts = [ls::name(task).map(str::to_owned), task.error.as_ref().map(told)];
    vec![
        task.id.to_string().into(),
        Cell::or_none(task.kind.clone()),
        Cell::styled(status, style),
        Cell::or_none(age(task.created.as_ref(), now)),
        Cell::or_none(took(task, now).map(lasting)),
        Cell::or_none(task.input.size.map(|size| HumanBytes(size).to_string())),
        Cell::or_none(
            Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")).filter(|text| !text.is_empty()),
        ),
    ]
}

impl Pane for Tasks {
    fn note(&self) -> String {
        let Some(page) = &self.page else { return String::new() };
        let shown = page.tasks.len();
        match (page.total, page.total_at_least) {
            (Some(total), _) if total > shown as u64 => format!("{shown} of {}", number(total)),
            (Some(total), _) => number(total),
            (None, Some(least)) => format!("{shown} of {}+", number(least)),
            (None, None) => String::new(),
        }
    }

    fn hints(&self) -> &'static [Hint] {
        HINTS
    }

    fn lines(&mut self, Size { rows, columns }: Size, now: DateTime<Utc>) -> Vec<Line> {
        let mut lines = vec![self.summary(columns)];
        let Some(page) = &self.page else { return lines };
        if page.tasks.is_empty() {
            let words =
                if page.next.is_some() { "  None among those that were looked at." } else { "  No task." };
            lines.push(Line::of(columns, words));
            return lines;
        }
        let table = Table::new(COLUMNS, columns);
        list(&mut lines, &table, rows.saturating_sub(1), (&page.tasks, &mut self.cursor), |task| {
            cells(task, now)
        });
        lines
    }

    fn step(&mut self, rows: isize) {
        let keys = self.keys();
        self.cursor.step(rows, &keys);
        let has_more = self.page.as_ref().is_some_and(|page| page.next.is_some());
        if has_more && self.cursor.at() + 1 == keys.len() {
            self.limit = (self.limit + PIECE).min(MOST);
        }
    }

    fn key(&mut self, key: Key) -> Option<Step> {
        match key {
            Key::Char('/') => return Some(Step::Type(Field::Search)),
            Key::Char('e') => return Some(Step::Type(Field::ErrorCode)),
            Key::Char('s') => {
                self.search(self.with_status(next(&Status::ALL, self.filter.status)));
                return None;
            }
            Key::Char('t') => {
                let known = Kind::ALL.map(Kind::name);
                let kind = next(&known, self.filter.kind.as_deref()).map(str::to_owned);
                self.search(Filter { kind, ..self.filter.clone() });
                return None;
            }
            Key::Char('o') => {
                self.is_oldest_first = !self.is_oldest_first;
                self.search(self.filter.clone());
                return None;
            }
            Key::Char('R') => {
                return Some(Step::Ask(Act::Count { action: Action::Retry, filter: self.filter.clone() }));
            }
            Key::Char('C') => {
                return Some(Step::Ask(Act::Count { action: Action::Cancel, filter: self.filter.clone() }));
            }
            Key::Escape | Key::Backspace if self.filter != Filter::default() => {
                self.search(Filter::default());
                return None;
            }
            Key::Escape | Key::Backspace => return Some(Step::Back),
            _ => {}
        }
        let task = self.selected()?;
        match key {
            Key::Enter => Some(Step::Open(task.id)),
            key => act(task, key),
        }
    }
}

/// Returns the act on a task that a key asks for.
pub fn act(task: &Task, key: Key) -> Option<Step> {
    let is_ended = task.status().is_some_and(Status::is_ended);
    match (key, is_ended) {
        (Key::Char('r'), true) => Some(Step::Ask(Act::Retry(named(task)))),
        (Key::Char('r'), false) => Some(Step::Say("a task can be retried once it has ended")),
        (Key::Char('c'), false) => Some(Step::Ask(Act::Cancel(named(task)))),
        (Key::Char('c'), true) => Some(Step::Say("the task has ended already")),
        _ => None,
    }
}
