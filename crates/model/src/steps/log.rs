//! A step of the outcome log: `SharedLog::settle`, in the order of `crates/shared-log/src/settle.rs`.
//!
//! A file is represented by its lines, an offset by their number. Flushing is not modelled: a process dies here, not a machine. Neither are
//! reads from the device, the cutting of unwritten bytes, and the search of other rotated files before a file is begun, which finds nothing
//! if the log has one path.

use super::Step;
use crate::guards::Guard;
use crate::state::{
    FILES, Fence, FileIndex, Head, Logger, Pass, Piece, Progress, State, Status, Tail, TaskIndex, TaskSet,
    Text, Torn, WORKERS, WorkerIndex,
};
use crate::{Parts, Protocol};

impl Protocol {
    pub(crate) fn offer_log(&self, state: &State, steps: &mut Vec<Step>) {
        for index in 0..WORKERS as WorkerIndex {
            steps.extend(match state.workers[usize::from(index)].logger {
                Logger::Idle => {
                    let may_lock = self.may_lock(state) && self.has_something_to_do(state);
                    may_lock.then_some(Step::LockLog(index))
                }
                Logger::Ahead(_) => self.may_lock(state).then_some(Step::LockLog(index)),
                Logger::Passing(_, Progress::ToScan) => Some(Step::Scan(index)),
                Logger::Passing(_, Progress::Scanned { .. }) => Some(Step::ReadOwed(index)),
                Logger::Passing(_, Progress::ToAppend { .. }) => Some(Step::Append(index)),
                Logger::Passing(_, Progress::ToCommit { .. }) => Some(Step::CommitLog(index)),
                Logger::Beginning { .. } => Some(Step::BeginLog(index)),
            });
        }
        // `mv log log.1`.
        if state.rotations_left > 0 && state.log.at_path.is_some() {
            steps.push(Step::Rotate);
        }
        if self.parts == Parts::Log {
            let runs = |task: &TaskIndex| state.row(*task).is_some_and(|row| row.status == Status::Running);
            steps.extend((0..self.tasks).filter(runs).map(Step::End));
        }
    }

    /// Returns whether the log can be locked: `SharedLog::try_lock`. The lock beside the log is released with its process, the log's own
    /// also with a rotation.
    fn may_lock(&self, state: &State) -> bool {
        state.workers.iter().all(|other| match other.logger {
            Logger::Idle | Logger::Ahead(_) => true,
            Logger::Passing(Pass { locked, .. }, _) | Logger::Beginning { locked, .. } => {
                !self.has(Guard::LockBesideLog) && state.log.at_path != Some(locked)
            }
        })
    }

    /// Returns whether a step would change anything: a due line, new text in the file, or a new file.
    fn has_something_to_do(&self, state: &State) -> bool {
        let log = &state.log;
        let is_settled = log.head.is_some_and(|head| {
            let file = &log.files[usize::from(head.file)];
            log.at_path == Some(head.file) && file.end() == head.committed
        });
        !is_settled || !state.owed().is_empty()
    }

    pub(crate) fn apply_log(&self, state: &mut State, step: Step) {
        match step {
            Step::LockLog(index) => {
                state.workers[usize::from(index)].logger = match state.workers[usize::from(index)].logger {
                    Logger::Idle if !self.has(Guard::OwedAfterScan) => Logger::Ahead(state.owed()),
                    Logger::Ahead(owed) => self.head_of_file(state, Some(owed)),
                    _ => self.head_of_file(state, None),
                };
            }
            Step::Scan(index) | Step::ReadOwed(index) | Step::Append(index) => {
                if let Logger::Passing(pass, progress) = state.workers[usize::from(index)].logger {
                    let logger = match progress {
                        Progress::ToScan => Logger::Passing(pass, self.scan(state, &pass)),
                        Progress::Scanned { found, end, tail } => {
                            self.read_owed(state, pass, found, end, tail)
                        }
                        Progress::ToAppend { found, end, text } => self.append(state, pass, found, end, text),
                        Progress::ToCommit { .. } => return,
                    };
                    state.workers[usize::from(index)].logger = logger;
                }
            }
            Step::CommitLog(index) => {
                if let Logger::Passing(pass, Progress::ToCommit { ids, end, is_all }) =
                    state.workers[usize::from(index)].logger
                {
                    let moved = self.commit_log(state, ids, Head { committed: end, ..pass.head });
                    state.workers[usize::from(index)].logger = after_pass(&pass, is_all && moved);
                }
            }
            Step::BeginLog(index) => {
                if let Logger::Beginning { locked, seen } = state.workers[usize::from(index)].logger {
                    let begun = match self.has(Guard::BeginBeforeAppend) {
                        true => self.begin_log(state, seen, locked),
                        false => true,
                    };
                    let head = Head { generation: seen.unwrap_or(0) + 1, file: locked, committed: 0 };
                    state.workers[usize::from(index)].logger = match begun {
                        true => Logger::Passing(Pass { locked, head, owed_before: None }, Progress::ToScan),
                        // A dead process's begin has come in late: the next step sees it.
                        false => Logger::Idle,
                    };
                }
            }
            Step::Rotate => {
                state.log.at_path = None;
                state.rotations_left -= 1;
            }
            Step::End(task) => self.complete(state, task, Fence::Current),
            _ => {}
        }
    }

    /// Finds the file that the stored head refers to: `Step::head_of_file`.
    fn head_of_file(&self, state: &mut State, owed_before: Option<TaskSet>) -> Logger {
        let locked = state.log.open();
        match state.log.head {
            None => Logger::Beginning { locked, seen: None },
            // All its lines must be marked before the head leaves it: no later step looks there again.
            Some(head) if head.file == locked || self.has(Guard::RotatedFirst) => {
                Logger::Passing(Pass { locked, head, owed_before }, Progress::ToScan)
            }
            Some(head) => Logger::Beginning { locked, seen: Some(head.generation) },
        }
    }

    /// Reads the lines after the head: `lines_after` and `Ledger::recognize`. Only ended rows have lines, and those never change.
    fn scan(&self, state: &State, pass: &Pass) -> Progress {
        let file = &state.log.files[usize::from(pass.head.file)];
        if !self.has(Guard::ScanBeforeAppend) {
            return Progress::Scanned { found: TaskSet::default(), end: file.end(), tail: None };
        }
        Progress::Scanned { found: file.lines_after(pass.head.committed), end: file.end(), tail: file.tail() }
    }

    /// Reads the due lines: `Step::text_to_append`.
    fn read_owed(
        &self,
        state: &mut State,
        pass: Pass,
        found: TaskSet,
        end: u8,
        torn: Option<Torn>,
    ) -> Logger {
        let owed = pass.owed_before.unwrap_or(state.owed());
        let minus_found = if self.has(Guard::OwedWithoutFound) { owed.without(found) } else { owed };
        let for_tail = if self.has(Guard::TailWithoutFound) { minus_found } else { owed };

        let leaves_foreign = match pass.is_of_rotated() {
            true => pass.head.committed == 0 && found.is_empty(),
            false => minus_found.is_empty(),
        };
        // `Step::take_owner`.
        let owner = match torn {
            Some(Torn::Of(task)) => for_tail.has(task).then_some(task),
            Some(Torn::OfAny) => for_tail.iter().next(),
            Some(Torn::Foreign) | None => None,
        };
        let tail = match (torn, owner) {
            (Some(_), Some(task)) => Tail::Complete(task),
            (Some(_), None) if !leaves_foreign => Tail::Close,
            _ => Tail::Leave,
        };
        let lines = if pass.is_of_rotated() {
            TaskSet::default()
        } else {
            minus_found.without(owner.into_iter().collect())
        };

        let text = Text { tail, lines };
        if !self.has(Guard::MarkAfterAppend) {
            for task in text.tasks().iter() {
                if let Some(row) = state.tasks[usize::from(task)].row.as_mut() {
                    row.logged = true;
                }
            }
        }
        if !text.is_empty() {
            Logger::Passing(pass, Progress::ToAppend { found, end, text })
        } else if end == pass.head.committed {
            after_pass(&pass, true)
        } else {
            Logger::Passing(pass, Progress::ToCommit { ids: found, end, is_all: true })
        }
    }

    /// Appends, and reads back what counts as written: `append`, then `lines_after`.
    fn append(&self, state: &mut State, pass: Pass, found: TaskSet, end: u8, text: Text) -> Logger {
        let file = &mut state.log.files[usize::from(pass.head.file)];
        let pieces = text.pieces().collect::<Vec<_>>();
        for piece in &pieces {
            file.write(*piece);
        }
        let back = file.lines_after(end);
        let written = text.tasks().iter().filter(|task| back.has(*task) || !self.has(Guard::ReadBack));
        let written: TaskSet = written.collect();
        let ids = found.iter().chain(written.iter()).collect();
        let progress = Progress::ToCommit { ids, end: file.end(), is_all: written == text.tasks() };
        Logger::Passing(pass, progress)
    }
}

/// Returns the state after a pass. The next step may be any process's: nothing is kept from one to the next.
fn after_pass(pass: &Pass, is_all: bool) -> Logger {
    match pass.is_of_rotated() && is_all {
        true => Logger::Beginning { locked: pass.locked, seen: Some(pass.head.generation) },
        false => Logger::Idle,
    }
}

/// The parts of one write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written {
    /// The rest of a torn line.
    Rest(TaskIndex),
    Newline,
    Line(TaskIndex),
}

impl Text {
    pub(crate) fn pieces(self) -> impl Iterator<Item = Written> {
        let tail = match self.tail {
            Tail::Leave => None,
            Tail::Complete(task) => Some(Written::Rest(task)),
            Tail::Close => Some(Written::Newline),
        };
        tail.into_iter().chain(self.lines.iter().map(Written::Line))
    }
}

impl crate::state::Log {
    /// Returns the file at the path, creating it if it is missing.
    fn open(&mut self) -> FileIndex {
        *self.at_path.get_or_insert_with(|| {
            let new = self.made;
            self.made = (new + 1).min(FILES as u8);
            new
        })
    }
}

impl crate::state::File {
    /// Returns the tasks whose lines are after an offset.
    fn lines_after(&self, offset: u8) -> TaskSet {
        let line = |piece| match piece {
            Piece::Line(task) => Some(task),
            Piece::Foreign | Piece::Torn(_) => None,
        };
        self.pieces().skip(usize::from(offset)).filter_map(line).collect()
    }

    /// Appends a piece to the file's current text, which may differ from the scanned one.
    pub(crate) fn write(&mut self, piece: Written) {
        self.append(match (piece, self.tail()) {
            (Written::Rest(task), Some(Torn::Of(torn))) if torn == task => Piece::Line(task),
            (Written::Rest(task), Some(Torn::OfAny)) => Piece::Line(task),
            (Written::Line(task), None) => Piece::Line(task),
            (Written::Rest(_) | Written::Line(_) | Written::Newline, _) => Piece::Foreign,
        });
    }

    /// Appends the beginning of a piece.
    pub(crate) fn tear(&mut self, beginning: Torn) {
        let torn = match (self.tail(), beginning) {
            // More of the same line.
            (Some(Torn::OfAny), Torn::Of(task)) => Torn::Of(task),
            (Some(Torn::Of(task)), Torn::Of(same)) if task == same => Torn::Of(task),
            (None, beginning) => beginning,
            (Some(_), _) => Torn::Foreign,
        };
        self.append(Piece::Torn(torn));
    }
}
