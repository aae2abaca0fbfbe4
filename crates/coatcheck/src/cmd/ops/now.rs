//! The view of the present: kinds and their tasks, charts of the last hour, day or week, and failures by code.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use chrono::{DateTime, Utc};
use client::{Kind, Point, Status, TaskList, Time};
use console::Style;

use super::acts::Act;
use super::keys::Key;
use super::pane::{Hint, Pane, Size, Step};
use super::reads::Filter;
use super::text::{self, Cell, Cursor, Line, Table, age, bars, lasting, strong};
use crate::table::{Column, NONE, colour};

/// The spans of the charts: the seconds of a step, and words. Each has 60 steps.
const SPANS: [(u32, &str, &str); 3] =
    [(60, "hour", "minute"), (1440, "day", "24 min"), (10_080, "7 days", "2.8 h")];
const STEPS: usize = 60;
/// The columns before a chart: its name, and its highest value.
const CHART_MARGIN: usize = 19;
/// The samples of which the rate is the mean.
const SAMPLES: usize = 6;
/// The first row stands for all kinds together.
const ALL: &str = "all";

const KINDS: &[Column] = &[
    Column::of("KIND", 8),
    Column::of("STATE", 6),
    Column::number("PENDING", 9),
    Column::number("RUNNING", 7),
    Column::number("OLDEST", 6),
    Column::number("ACCEPTED", 9),
    Column::number("SUCCEEDED", 9),
    Column::number("FAILED", 9),
    Column::number("CANCELLED", 9).spare(),
];
const FAILED: &[Column] = &[
    Column::of("FAILED WITH", 22),
    Column::of("KIND", 8),
    Column::number("TASKS", 6),
    Column::number("NEWEST", 7),
    Column::of("DETAIL OF THE NEWEST", 20),
];
const HINTS: &[Hint] =
    &[Hint::of("Enter", "its tasks"), Hint::change("p", "pause/resume"), Hint::of("w", "hour/day/week")];

/// The numbers of tasks in a span of time.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    accepted: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
}

/// Tasks of a kind that failed with one code.
#[derive(Debug)]
struct Group {
    code: String,
    kind: String,
    tasks: u64,
    newest: Option<Time>,
    detail: String,
}

/// A row that can be selected.
#[derive(Debug, Clone, Copy)]
enum Row<'a> {
    All,
    Kind(&'a Kind),
    Group(&'a Group),
}

/// The view.
#[derive(Debug, Default)]
pub struct Now {
    span: usize,
    kinds: Vec<Kind>,
    points: Vec<Point>,
    groups: Vec<Group>,
    /// The failed tasks that are grouped, and whether there are more.
    grouped: (usize, bool),
    is_read: bool,
    /// When the failed tasks were read, and how many had failed then in the span.
    failures_at: Option<(Instant, u64)>,
    /// Ended tasks by step, as they were counted at the last reads.
    samples: VecDeque<(Instant, BTreeMap<String, u64>)>,
    cursor: Cursor,
}

impl Now {
    /// Returns the seconds of a step.
    pub const fn step_seconds(&self) -> u32 {
        SPANS[self.span].0
    }

    /// Returns whether the failed tasks are to be read again: if more have failed, but at most every 5 s; and now and then, because old ones
    /// are deleted.
    pub fn wants_failures(&self) -> bool {
        let failed = self.totals(None).failed;
        self.failures_at
            .is_none_or(|(at, known)| at.elapsed().as_secs() >= if failed == known { 30 } else { 5 })
    }

    /// Takes what was read.
    pub fn set(&mut self, kinds: Vec<Kind>, points: Vec<Point>, failures: Option<TaskList>) {
        (self.kinds, self.points, self.is_read) = (kinds, points, true);
        let mut ended = BTreeMap::new();
        for point in &self.points {
            *ended.entry(point.at.as_str().to_owned()).or_default() +=
                point.succeeded + point.failed + point.cancelled;
        }
        self.samples.push_back((Instant::now(), ended));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        if let Some(failures) = failures {
            self.failures_at = Some((Instant::now(), self.totals(None).failed));
            self.group(failures);
        }
        self.cursor.settle(&self.keys());
    }

    fn group(&mut self, failures: TaskList) {
        self.grouped = (failures.tasks.len(), failures.next.is_some());
        let mut groups = BTreeMap::new();
        for task in &failures.tasks {
            let text = |text: Option<&String>| text.cloned().unwrap_or_else(|| "?".to_owned());
            let error = task.error.as_ref();
            let (kind, code) = (text(task.kind.as_ref()), text(error.and_then(|error| error.code.as_ref())));
            let group = groups.entry((kind.clone(), code.clone()));
            let group = group.or_insert(Group { code, kind, tasks: 0, newest: None, detail: String::new() });
            group.tasks += 1;
            let is_newer = |newest: &Time| task.finished.as_ref().is_some_and(|at| at.at() > newest.at());
            if group.newest.as_ref().is_none_or(is_newer) {
                group.newest = task.finished.clone();
                group.detail = error.and_then(|error| error.detail.clone()).unwrap_or_default();
            }
        }
        self.groups = groups.into_values().collect();
        // Of as many tasks, the one that comes first stays first.
        self.groups.sort_by_key(|group| Reverse(group.tasks));
    }

    fn rows(&self) -> Vec<Row<'_>> {
        if !self.is_read {
            return Vec::new();
        }
        let kinds = self.kinds.iter().map(Row::Kind);
        [Row::All].into_iter().chain(kinds).chain(self.groups.iter().map(Row::Group)).collect()
    }

    fn keys(&self) -> Vec<String> {
        let key = |row: &Row<'_>| match row {
            Row::All => ALL.to_owned(),
            Row::Kind(kind) => format!("kind {}", kind.kind),
            Row::Group(group) => format!("failed {} {}", group.kind, group.code),
        };
        self.rows().iter().map(key).collect()
    }

    fn selected(&self) -> Option<Row<'_>> {
        self.rows().get(self.cursor.at()).copied()
    }

    /// Returns the points of a kind, or of all.
    fn points_of<'a>(&'a self, kind: Option<&'a str>) -> impl Iterator<Item = &'a Point> {
        self.points.iter().filter(move |point| kind.is_none_or(|kind| point.kind == kind))
    }

    fn totals(&self, kind: Option<&str>) -> Totals {
        self.points_of(kind).fold(Totals::default(), |sum, point| Totals {
            accepted: sum.accepted + point.accepted,
            succeeded: sum.succeeded + point.succeeded,
            failed: sum.failed + point.failed,
            cancelled: sum.cancelled + point.cancelled,
        })
    }

    /// Returns how many tasks ended in a second, over the last reads; `None` after the first.
    fn rate(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let seconds = (*to - *from).as_secs_f64();
        // Steps before those of the first read have gone, or begin to be counted.
        let oldest = before.keys().next();
        let ended = after.iter().filter(|(at, _)| oldest.is_none_or(|oldest| *at >= oldest));
        let more = ended.map(|(at, now)| now.saturating_sub(before.get(at).copied().unwrap_or_default()));
        let more: u64 = more.sum();
        (seconds > 0.5).then(|| more as f64 / seconds)
    }

    fn kinds_lines(&self, lines: &mut Vec<Line>, columns: usize, now: DateTime<Utc>) {
        let table = Table::new(KINDS, columns);
        lines.push(table.titles());
        let all = Kind {
            kind: ALL.to_owned(),
            paused: false,
            since: None,
            pending: self.kinds.iter().map(|kind| kind.pending).sum(),
            running: self.kinds.iter().map(|kind| kind.running).sum(),
            oldest: self.kinds.iter().filter_map(|kind| kind.oldest.clone()).min_by_key(Time::at),
        };
        for (at, kind) in [&all].into_iter().chain(&self.kinds).enumerate() {
            let totals = self.totals((at > 0).then_some(&kind.kind));
            let state = match kind.paused {
                true => Cell::styled("paused", Style::new().yellow()),
                false => "".into(),
            };
            let coloured = |number: u64, status: Status| {
                let style = if number > 0 { colour(status.name()) } else { Style::new() };
                Cell::styled(text::number(number), style)
            };
            let plain = |number: u64| Cell::from(text::number(number));
            let cells = vec![
                Cell::from(kind.kind.as_str()),
                state,
                plain(kind.pending),
                coloured(kind.running, Status::Running),
                Cell::or_none(age(kind.oldest.as_ref(), now)),
                plain(totals.accepted),
                coloured(totals.succeeded, Status::Succeeded),
                coloured(totals.failed, Status::Failed),
                coloured(totals.cancelled, Status::Cancelled),
            ];
            lines.push(table.row(cells, at == self.cursor.at()));
        }
    }

    fn chart_lines(&self, lines: &mut Vec<Line>, Size { rows, columns }: Size, now: DateTime<Utc>) {
        let (step, span, of_step) = SPANS[self.span];
        let kind = match self.selected() {
            Some(Row::Kind(kind)) => Some(&*kind.kind),
            Some(Row::Group(group)) => Some(&*group.kind),
            Some(Row::All) | None => None,
        };
        let mut title = Line::new(columns)
            .and("  THE LAST ", &strong())
            .and(&span.to_uppercase(), &strong())
            .and(&format!("  {}, a bar for each {of_step}", kind.unwrap_or("all kinds")), &Style::new());
        if let Some(rate) = self.rate() {
            title = title.and_at_end(&format!("{rate:.1} ended/s"), &strong());
        }
        lines.push(title);
        let place = |at: DateTime<Utc>| at.timestamp().div_euclid(step.into());
        let points: Vec<_> =
            self.points_of(kind).filter_map(|point| Some((place(point.at.at()?), point))).collect();
        let last = points.iter().map(|(place, _)| *place).chain([place(now)]).max().unwrap_or_default();
        let values = |value: fn(&Point) -> Option<f64>, join: fn(f64, f64) -> f64| {
            let mut values = vec![None; STEPS];
            for (place, point) in &points {
                let at = usize::try_from(last - place).ok().and_then(|back| (STEPS - 1).checked_sub(back));
                if let (Some(at), Some(value)) = (at, value(point)) {
                    values[at] = Some(values[at].map_or(value, |other| join(other, value)));
                }
            }
            values
        };
        let sum = |one: f64, other: f64| one + other;
        let count: fn(f64) -> String = |most| text::number(most as u64);
        let length: fn(f64) -> String = lasting;
        let charts = [
            ("accepted", values(|point| Some(point.accepted as f64), sum), Style::new(), count),
            (
                "succeeded",
                values(|point| Some(point.succeeded as f64), sum),
                colour(Status::Succeeded.name()),
                count,
            ),
            ("failed", values(|point| Some(point.failed as f64), sum), colour(Status::Failed.name()), count),
            ("wait p95", values(|point| point.wait_p95, f64::max), Style::new().cyan(), length),
            ("work p95", values(|point| point.work_p95, f64::max), Style::new().cyan(), length),
        ];
        let height = (rows.saturating_sub(1) / charts.len()).clamp(1, 3);
        let shown = columns.saturating_sub(CHART_MARGIN + 1).min(STEPS);
        for (name, values, style, told) in charts {
            let most = values.iter().flatten().copied().fold(0.0, f64::max);
            let most = if most > 0.0 { format!("≤{}", told(most)) } else { NONE.to_owned() };
            for (row, bar) in bars(&values[STEPS - shown..], height).into_iter().enumerate() {
                let line = Line::new(columns);
                let line = match row {
                    0 => line.and(&format!("  {name:<9} {most:>7}"), &Style::new()),
                    _ => line,
                };
                lines.push(line.up_to(CHART_MARGIN).and(&bar, &style));
            }
        }
    }

    fn failure_lines(&mut self, lines: &mut Vec<Line>, Size { rows, columns }: Size, now: DateTime<Utc>) {
        if self.groups.is_empty() {
            let words = if self.failures_at.is_some() { "  No failed task is kept." } else { "" };
            lines.push(Line::of(columns, words));
            return;
        }
        if rows < 2 {
            return;
        }
        let table = Table::new(FAILED, columns);
        let titles = table.titles();
        let (tasks, has_more) = self.grouped;
        lines.push(match has_more {
            true => {
                titles.and_at_end(&format!("of the newest {}", text::number(tasks as u64)), &Style::new())
            }
            false => titles,
        });
        let before = 1 + self.kinds.len();
        let at = self.cursor.at().checked_sub(before);
        let rows = rows - 1;
        let top = at.map_or(0, |at| (at + 1).saturating_sub(rows));
        for (number, group) in self.groups.iter().enumerate().skip(top).take(rows) {
            let cells = vec![
                Cell::styled(group.code.as_str(), colour(Status::Failed.name())),
                Cell::from(group.kind.as_str()),
                Cell::from(text::number(group.tasks)),
                Cell::or_none(age(group.newest.as_ref(), now)),
                Cell::from(group.detail.as_str()),
            ];
            lines.push(table.row(cells, at == Some(number)));
        }
    }
}

impl Pane for Now {
    fn note(&self) -> String {
        format!("accepted, ended: the last {}", SPANS[self.span].1)
    }

    fn hints(&self) -> &'static [Hint] {
        HINTS
    }

    fn lines(&mut self, Size { rows, columns }: Size, now: DateTime<Utc>) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.is_read {
            return lines;
        }
        self.kinds_lines(&mut lines, columns, now);
        // The rest is for charts and failures; the failures get at least four rows, if there are as many.
        let failures = (self.groups.len() + 1).clamp(1, 5);
        let left = rows.saturating_sub(lines.len() + 2 + failures);
        lines.push(Line::new(columns));
        self.chart_lines(&mut lines, Size { rows: left, columns }, now);
        lines.push(Line::new(columns));
        let rows = rows.saturating_sub(lines.len());
        self.failure_lines(&mut lines, Size { rows, columns }, now);
        lines
    }

    fn step(&mut self, rows: isize) {
        let keys = self.keys();
        self.cursor.step(rows, &keys);
    }

    fn key(&mut self, key: Key) -> Option<Step> {
        if key == Key::Char('w') {
            self.span = (self.span + 1) % SPANS.len();
            self.points.clear();
            self.samples.clear();
            return None;
        }
        match (key, self.selected()?) {
            (Key::Enter, Row::All) => Some(Step::List(Filter::default())),
            (Key::Enter, Row::Kind(kind)) => {
                Some(Step::List(Filter { kind: Some(kind.kind.clone()), ..Filter::default() }))
            }
            (Key::Enter, Row::Group(group)) => Some(Step::List(Filter {
                status: Some(Status::Failed),
                kind: Some(group.kind.clone()),
                error_code: Some(group.code.clone()),
                ..Filter::default()
            })),
            (Key::Char('p'), Row::Kind(kind)) if kind.paused => {
                Some(Step::Ask(Act::Resume { kind: kind.kind.clone() }))
            }
            (Key::Char('p'), Row::Kind(kind)) => Some(Step::Ask(Act::Pause {
                kind: kind.kind.clone(),
                pending: kind.pending,
                running: kind.running,
            })),
            (Key::Char('p'), _) => Some(Step::Say("select a kind first")),
            _ => None,
        }
    }
}
