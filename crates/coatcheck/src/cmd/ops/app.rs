//! The state of the view: what is shown, what is typed, and what is asked.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use client::ClientError;
use console::Style;
use program::without_passwords;
use uuid::Uuid;

use super::acts::{Act, After};
use super::audit::Audit;
use super::keys::Key;
use super::now::Now;
use super::pane::{Field, Hint, Pane, Size, Step};
use super::reads::{Answer, Filter, Page, Read};
use super::task::One;
use super::tasks::Tasks;
use super::text::{Line, lasting_whole, selected, strong, wrapped};
use super::workers::Workers;

/// The views that the digits lead to.
const VIEWS: [(View, &str); 4] =
    [(View::Now, "Now"), (View::Tasks, "Tasks"), (View::Workers, "Workers"), (View::Audit, "Audit")];
/// The keys of all views.
const KEYS: [Hint; 9] = [
    Hint::of("1 2 3 4", "the views; Tab goes to the next one"),
    Hint::of("↑ ↓", "select; also j and k"),
    Hint::of("PgUp PgDn", "a page on; Home and End go to its ends"),
    Hint::of("Enter", "open what is selected"),
    Hint::of("Esc", "back; clears a filter first"),
    Hint::of("Ctrl-L", "draw the screen anew"),
    Hint::of("Ctrl-Z", "suspend"),
    Hint::of("?", "this help"),
    Hint::of("q", "quit; also Ctrl-C"),
];
/// The lines around a view: header, tabs, keys.
const AROUND: usize = 3;
/// The most lines of a question or a message.
const WORDS: usize = 6;
/// The age from which what is shown is called old.
const OLD: Duration = Duration::from_secs(4);
/// The longest text that can be typed, in characters: a filter's longest.
const LONGEST: usize = 255;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Now,
    Tasks,
    Task,
    Workers,
    Audit,
}

/// A dialog, which has the keyboard in place of the view.
#[derive(Debug)]
enum Dialog {
    Help,
    Question(Act),
    Prompt(Field, String),
}

/// A wish of a key, for the program to fulfil.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    Quit,
    /// To draw everything anew.
    Redraw,
    /// To do this now.
    Do(Act),
}

/// The state.
#[derive(Debug)]
pub struct App {
    server: String,
    view: View,
    /// The view to go back to from a task.
    before: View,
    now: Now,
    tasks: Tasks,
    task: One,
    workers: Workers,
    audit: Audit,
    dialog: Option<Dialog>,
    /// The last message, and whether it is bad news.
    words: Option<(String, bool)>,
    /// Why nothing can be read.
    trouble: Option<String>,
    /// When an answer was read last.
    read_at: Instant,
    /// Whether the server does not answer.
    is_away: bool,
    /// Why the server refuses changes; the outer one is `None` until that was asked.
    read_only: Option<Option<String>>,
    /// The act that is under way.
    acting: Option<String>,
    is_pasting: bool,
    /// The rows of the view as it was last drawn.
    page_rows: usize,
}

impl App {
    /// Returns the view of that server, which was not read yet.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            view: View::Now,
            before: View::Now,
            now: Now::default(),
            tasks: Tasks::default(),
            task: One::default(),
            workers: Workers::default(),
            audit: Audit::default(),
            dialog: None,
            words: None,
            trouble: None,
            read_at: Instant::now(),
            is_away: false,
            read_only: None,
            acting: None,
            is_pasting: false,
            page_rows: 1,
        }
    }

    fn pane(&mut self) -> &mut dyn Pane {
        match self.view {
            View::Now => &mut self.now,
            View::Tasks => &mut self.tasks,
            View::Task => &mut self.task,
            View::Workers => &mut self.workers,
            View::Audit => &mut self.audit,
        }
    }

    // ---- What is read ----

    /// Returns what to read for the view.
    pub fn wanted(&self) -> Read {
        match self.view {
            View::Now => Read::Now { step: self.now.step_seconds() },
            View::Tasks => self.tasks.read(),
            View::Task => Read::Task(self.task.id),
            View::Workers => Read::Workers,
            View::Audit => Read::Audit,
        }
    }

    /// Returns whether the failed tasks are to be read too.
    pub fn wants_failures(&self) -> bool {
        self.now.wants_failures()
    }

    /// Returns whether to ask if changes are allowed.
    pub const fn wants_rights(&self) -> bool {
        self.read_only.is_none()
    }

    /// Takes the answer to a read, or the reason why it failed.
    pub fn answered(&mut self, answer: Result<Answer, ClientError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.is_away = error.is_passing();
                if self.is_away {
                    // Another server may answer next.
                    self.read_only = None;
                } else {
                    self.read_at = Instant::now();
                }
                self.trouble = Some(error.to_string());
                return;
            }
        };
        if self.is_away {
            self.say("the server answers again");
        }
        (self.trouble, self.is_away, self.read_at) = (None, false, Instant::now());
        if answer.read_only.is_some() {
            self.read_only = answer.read_only;
        }
        match answer.page {
            Page::Now { kinds, points, failures } => self.now.set(kinds, points, failures),
            Page::Tasks(list) => self.tasks.set(list),
            Page::Task { task, attempts } => self.task.set(task, attempts),
            Page::Workers(workers) => self.workers.set(workers),
            Page::Audit(acts) => self.audit.set(acts),
        }
    }

    // ---- Acts ----

    /// Notes that an act is under way.
    pub fn begun(&mut self, act: &Act) {
        self.acting = Some(act.words());
    }

    /// Returns the act that is under way.
    pub fn acting(&self) -> Option<&str> {
        self.acting.as_deref()
    }

    /// Takes what came of an act.
    pub fn done(&mut self, outcome: Result<After, ClientError>) {
        let words = self.acting.take().unwrap_or_default();
        match outcome {
            Ok(After::Done(words)) => self.say(&words),
            // The next key is meant for the dialog that is open.
            Ok(After::Ask(_)) if self.dialog.is_some() => {
                self.say("nothing was done: the tasks were counted while something else was open");
            }
            Ok(After::Ask(act)) => self.dialog = Some(Dialog::Question(act)),
            Err(error) => self.words = Some((format!("not done: {words}: {error}"), true)),
        }
    }

    fn say(&mut self, words: &str) {
        self.words = Some((words.to_owned(), false));
    }

    fn ask(&mut self, act: Act) -> Option<Wish> {
        if let Some(Some(reason)) = &self.read_only {
            self.words = Some((format!("read-only: {reason}"), true));
            return None;
        }
        if let Some(words) = &self.acting {
            let words = format!("wait until this is done: {words}");
            self.say(&words);
            return None;
        }
        match act.question() {
            None => return Some(Wish::Do(act)),
            Some(_) => self.dialog = Some(Dialog::Question(act)),
        }
        None
    }

    // ---- Keys ----

    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Option<Wish> {
        match key {
            Key::PasteBegins | Key::PasteEnds => {
                self.is_pasting = key == Key::PasteBegins;
                return None;
            }
            // A pasted text is typed, and presses nothing.
            key if self.is_pasting
                && !matches!((&self.dialog, key), (Some(Dialog::Prompt(..)), Key::Char(_))) =>
            {
                return None;
            }
            Key::Control('l') => return Some(Wish::Redraw),
            _ => {}
        }
        self.words = None;
        match self.dialog.take() {
            Some(Dialog::Help) => None,
            Some(Dialog::Question(act)) => match key {
                Key::Char('y' | 'Y') => Some(Wish::Do(act)),
                _ => {
                    self.say("nothing was done");
                    None
                }
            },
            Some(Dialog::Prompt(field, text)) => {
                self.typed(field, text, key);
                None
            }
            None => self.pressed(key),
        }
    }

    fn typed(&mut self, field: Field, mut text: String, key: Key) {
        match key {
            Key::Escape => return,
            Key::Enter => return self.search(field, text.trim()),
            Key::Control('u') => text.clear(),
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if text.chars().count() < LONGEST => text.push(c),
            _ => {}
        }
        self.dialog = Some(Dialog::Prompt(field, text));
    }

    fn search(&mut self, field: Field, text: &str) {
        let given = Some(text.to_owned()).filter(|text| !text.is_empty());
        let filter = self.tasks.filter.clone();
        // Without its hyphens it may be the name of a file: a digest.
        let id = Some(text).filter(|text| text.contains('-')).and_then(|text| text.parse().ok());
        match (field, id) {
            (Field::Search, Some(id)) => self.open(id),
            // One filter in a text at a time: the server has no index for two.
            (Field::Search, None) => {
                self.tasks.search(Filter { filename: given, error_code: None, worker: None, ..filter });
            }
            (Field::ErrorCode, _) => {
                let status = if given.is_some() { Some(client::Status::Failed) } else { filter.status };
                self.tasks.search(Filter {
                    status,
                    error_code: given,
                    filename: None,
                    worker: None,
                    ..filter
                });
            }
        }
    }

    fn pressed(&mut self, key: Key) -> Option<Wish> {
        let rows = isize::try_from(self.page_rows).unwrap_or(isize::MAX).max(1);
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?') => self.dialog = Some(Dialog::Help),
            Key::Char(digit @ '1'..='4') => self.view = VIEWS[digit as usize - '1' as usize].0,
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(VIEWS.len() - 1),
            Key::Up | Key::Char('k') => self.pane().step(-1),
            Key::Down | Key::Char('j') => self.pane().step(1),
            Key::PageUp => self.pane().step(1 - rows),
            Key::PageDown => self.pane().step(rows - 1),
            Key::Home => self.pane().step(isize::MIN),
            Key::End => self.pane().step(isize::MAX),
            key => return self.pane().key(key).and_then(|step| self.go(step)),
        }
        None
    }

    fn go(&mut self, step: Step) -> Option<Wish> {
        match step {
            Step::Open(id) => self.open(id),
            Step::List(filter) => {
                self.tasks.search(filter);
                self.view = View::Tasks;
            }
            Step::Ask(act) => return self.ask(act),
            Step::Type(field) => self.dialog = Some(Dialog::Prompt(field, String::new())),
            Step::Back if self.view == View::Task => self.view = self.before,
            Step::Back => self.view = View::Now,
            Step::Say(words) => self.say(words),
        }
        None
    }

    fn open(&mut self, id: Uuid) {
        self.before = self.view;
        self.task.open(id);
        self.view = View::Task;
    }

    fn turn(&mut self, views: usize) {
        let at = VIEWS.iter().position(|(view, _)| *view == self.tab()).unwrap_or_default();
        self.view = VIEWS[(at + views) % VIEWS.len()].0;
    }

    /// Returns the view whose tab is marked.
    const fn tab(&self) -> View {
        if matches!(self.view, View::Task) { View::Tasks } else { self.view }
    }

    // ---- The screen ----

    /// Returns the lines of a screen of that size.
    pub fn lines(&mut self, (rows, columns): (usize, usize), now: DateTime<Utc>) -> Vec<String> {
        let words = self.words_lines(columns);
        let room = rows.saturating_sub(AROUND + words.len());
        self.page_rows = room;
        let size = Size { rows: room, columns };
        let mut lines = vec![self.header(columns), self.tabs(columns)];
        let mut body = match self.dialog {
            Some(Dialog::Help) => self.help(columns),
            _ => self.pane().lines(size, now),
        };
        body.resize(room, Line::new(columns));
        lines.extend(body);
        lines.extend(words);
        lines.push(self.keys(columns));
        lines.resize(rows, Line::new(columns));
        lines.into_iter().map(Line::into_text).collect()
    }

    fn header(&self, columns: usize) -> Line {
        let mut line = Line::of(columns, "  ").and("coatcheck ops", &strong()).and("  ", &Style::new());
        line = line.and(&self.server, &Style::new());
        if let Some(context) = program::context() {
            line = line.and(&format!(" ({})", context.name), &Style::new());
            if context.is_production {
                line = line.and("  PRODUCTION", &strong().red());
            }
        }
        if let Some(Some(_)) = self.read_only {
            line = line.and("  read-only", &strong());
        }
        let age = self.read_at.elapsed();
        let old = lasting_whole(age.as_secs_f64());
        match (self.is_away, age > OLD) {
            (true, _) => line.and_at_end(&format!("away, {old} "), &strong().red()),
            (false, true) => line.and_at_end(&format!("{old} old "), &strong().yellow()),
            (false, false) => line.and_at_end("live ", &Style::new().green()),
        }
    }

    fn tabs(&mut self, columns: usize) -> Line {
        let mut line = Line::of(columns, " ");
        for (number, (view, name)) in VIEWS.iter().enumerate() {
            let style = if *view == self.tab() { selected() } else { Style::new() };
            line = line.and(&format!(" {} {name} ", number + 1), &style).and(" ", &Style::new());
        }
        let note = self.pane().note();
        line.and_at_end(&format!("{note} "), &Style::new())
    }

    /// Returns the question, the text that is typed, or what is to be said.
    fn words_lines(&self, columns: usize) -> Vec<Line> {
        let (text, style) = match &self.dialog {
            Some(Dialog::Question(act)) => {
                (format!("{} [y/N]", act.question().unwrap_or_default()), strong())
            }
            Some(Dialog::Prompt(field, text)) => {
                let asked = match field {
                    Field::Search => "Ticket, or the beginning of a file's name",
                    Field::ErrorCode => "Error code",
                };
                (format!("{asked}: {text}▏"), strong())
            }
            Some(Dialog::Help) | None => match (&self.words, &self.trouble, &self.acting) {
                (Some((words, true)), ..) => (words.clone(), Style::new().red()),
                (Some((words, false)), ..) => (words.clone(), strong()),
                (None, Some(trouble), _) if self.is_away => {
                    (format!("{trouble}; trying again"), Style::new().red())
                }
                (None, Some(trouble), _) => (trouble.clone(), Style::new().red()),
                (None, None, Some(acting)) => (format!("{acting} …"), Style::new()),
                (None, None, None) => (String::new(), Style::new()),
            },
        };
        let text = without_passwords(&text);
        let parts = wrapped(&text, columns.saturating_sub(3));
        // The end of a question has the words that matter: what to press.
        let first = parts.len().saturating_sub(WORDS);
        parts[first..].iter().map(|part| Line::of(columns, "  ").and(part, &style)).collect()
    }

    fn is_shown(&self, hint: &Hint) -> bool {
        !hint.is_change || matches!(self.read_only, Some(None))
    }

    /// Returns the keys of the view, as many as fit beside those that are always there.
    fn keys(&mut self, columns: usize) -> Line {
        let (last, mut line) = ("? help  q quit ", Line::of(columns, "  "));
        let hints = match self.dialog {
            Some(Dialog::Help) => return line.and("any key goes back", &Style::new()),
            Some(Dialog::Question(_)) => {
                return line.and("y does it; any other key does nothing", &Style::new());
            }
            Some(Dialog::Prompt(..)) => return line.and("Enter searches; Esc goes back", &Style::new()),
            None => self.pane().hints(),
        };
        let mut left = columns.saturating_sub(2 + last.len());
        for hint in hints.iter().filter(|hint| self.is_shown(hint)) {
            let width = hint.key.chars().count() + hint.words.chars().count() + 3;
            if width > left {
                break;
            }
            left -= width;
            line = line.and(hint.key, &strong()).and(&format!(" {}  ", hint.words), &Style::new());
        }
        line.and_at_end(last, &Style::new())
    }

    fn help(&mut self, columns: usize) -> Vec<Line> {
        let own = self.pane().hints();
        let own: Vec<&Hint> = own.iter().filter(|hint| self.is_shown(hint)).collect();
        let mut lines = vec![Line::new(columns)];
        for hint in own.into_iter().chain(&KEYS) {
            let line = Line::of(columns, "  ").and(hint.key, &strong());
            lines.push(line.up_to(14).and(hint.words, &Style::new()));
        }
        if let Some(Some(reason)) = &self.read_only {
            lines.push(Line::new(columns));
            lines.push(Line::of(columns, "  ").and(&format!("Read-only: {reason}"), &Style::new()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use client::Action;

    use super::*;

    fn press(app: &mut App, keys: &str) -> Option<Wish> {
        keys.chars().map(|c| app.key(if c == '\n' { Key::Enter } else { Key::Char(c) })).last().flatten()
    }

    #[test]
    fn a_question_that_comes_while_something_is_typed_is_not_answered_by_the_next_key() {
        let mut app = App::new("http://h");
        let count = Act::Count { action: Action::Cancel, filter: Filter::default() };
        assert_eq!(press(&mut app, "2C"), Some(Wish::Do(count.clone())));
        app.begun(&count);
        press(&mut app, "/");

        let confirm = "a word".to_owned();
        let (action, filter) = (Action::Cancel, Filter::default());
        app.done(Ok(After::Ask(Act::Many { action, filter, eligible: 3000, confirm })));

        assert_eq!(press(&mut app, "yesterday\n"), None);
        assert_eq!(app.tasks.filter.filename.as_deref(), Some("yesterday"));
    }

    #[test]
    fn a_search_opens_a_ticket_and_lists_all_else() {
        for (text, is_ticket) in [
            ("0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", true),
            (" 0198C5A1-7B3E-7C40-9D55-2F0E8A1B6C3D ", true),
            ("900150983cd24fb0d6963f7d28e17f72", false),
            ("a-b", false),
        ] {
            let mut app = App::new("http://h");
            press(&mut app, &format!("2/{text}\n"));
            assert_eq!(matches!(app.wanted(), Read::Task(_)), is_ticket, "{text}");
        }
    }
}
