//! A step of an outcome log: `SharedLog::settle`, in the order of `crates/shared-log/src/settle.rs`, as the program
//! makes it. The order is
//!
//! 1. lock; read the follower's head; if it leads to another file than the locked one, bring that file up to date first (2 to 6, with no
//!    more text than the rest of its torn line), then begin a file: store the new head;
//! 2. scan what follows the head's offset, and recognize the lines of outcomes after the head's place;
//! 3. number the rows that have no number, unless another process does so now (any process may, at any time: see `steps/feed.rs`); read the
//!    outcomes after the place, in the feed's order;
//! 4. append those that were not found and are not remembered as written, after completing a torn line; read back what was written;
//! 5. flush the file, also if all was found in it;
//! 6. store offset and place in one statement: the offset after what was read back, the place before the first outcome that has no line.
//!    Outcomes after the place that have one are remembered beside it; there are some only after a foreign program has spoiled a line.
//!
//! A file is represented by its lines, an offset by their number. Reads from the device and the cutting of unwritten bytes are not modelled.
//! Before a file is begun, the files after the head's are searched for lines that the head does not know, and for half lines that may be
//! some; here only where two names write one log. Otherwise each file was begun before its first byte, and nothing is found.

use super::Step;
use crate::feed::Place;
use crate::files::{File, FileIndex, Folder, Torn};
use crate::guards::Guard;
use crate::late::Late;
use crate::logger::{Head, Logger, NAMES, NameIndex, Pass, Progress, Scan, Tail, Text, Whole};
use crate::sets::{TaskList, TaskSet};
use crate::state::{State, TaskIndex, WORKERS, WorkerIndex};
use crate::{Logs, Protocol};

impl Protocol {
    pub(crate) fn offer_log(&self, state: &State, steps: &mut Vec<Step>) {
        for index in 0..WORKERS as WorkerIndex {
            steps.extend(match state.workers[usize::from(index)].logger {
                Logger::Idle => {
                    let may_lock = self.may_lock(state, index) && self.has_something_to_do(state, index);
                    may_lock.then_some(Step::LockLog(index))
                }
                Logger::Early(_) => self.may_lock(state, index).then_some(Step::LockLog(index)),
                Logger::Passing(_, Progress::ToScan) => Some(Step::Scan(index)),
                Logger::Passing(_, Progress::Scanned(..)) => Some(Step::ReadOutcomes(index)),
                Logger::Passing(_, Progress::ToAppend { .. }) => Some(Step::Append(index)),
                Logger::Passing(_, Progress::ToFlush(..)) => Some(Step::Flush(index)),
                Logger::Passing(_, Progress::ToCommit(..) | Progress::ToMoveOn(_)) => {
                    Some(Step::CommitLog(index))
                }
                Logger::Beginning { .. } => Some(Step::BeginLog(index)),
            });
        }
        // `mv log log.1`.
        if state.rotations_left > 0 {
            let hosts = (0..NAMES as NameIndex).filter(|host| self.folder(state, *host).at_path.is_some());
            steps.extend(hosts.map(Step::Rotate));
        }
        // Not together with lines out of order: from these a new name can't tell which older ones were deleted.
        if self.logs == Logs::OfTwoNames
            && !self.has_foreign_writers
            && self.deletable(state, 0).is_some_and(|file| state.has_left(file))
        {
            steps.push(Step::DeleteRotated(0));
        }
        if !state.feed.unnumbered().is_empty() {
            steps.push(Step::Number);
        }
    }

    fn deletable(&self, state: &State, host: NameIndex) -> Option<FileIndex> {
        self.folder(state, host).deletable(self.loses_power() && state.faults_left > 0)
    }

    /// Returns the log that this process writes.
    pub(crate) const fn name_of(&self, worker: WorkerIndex) -> NameIndex {
        match self.logs {
            Logs::One => 0,
            Logs::OnTwoHosts | Logs::OfTwoNames => worker,
        }
    }

    /// Returns the host that has the files of this log.
    pub(crate) const fn host_of(&self, name: NameIndex) -> NameIndex {
        match self.logs {
            Logs::One | Logs::OfTwoNames => 0,
            Logs::OnTwoHosts => name,
        }
    }

    /// Returns whether the log can be locked: `SharedLog::try_lock`. The lock beside the log is released with its process, the log's own
    /// also with a rotation.
    fn may_lock(&self, state: &State, index: WorkerIndex) -> bool {
        let host = self.host_of(self.name_of(index));
        let others = (0..WORKERS as WorkerIndex).filter(|other| self.host_of(self.name_of(*other)) == host);
        others.map(|other| state.workers[usize::from(other)].logger).all(|logger| match logger {
            Logger::Idle | Logger::Early(_) => true,
            Logger::Passing(Pass { locked, .. }, _) | Logger::Beginning { locked, .. } => {
                !self.has(Guard::LockBesideLog) && self.folder(state, host).at_path != Some(locked)
            }
        })
    }

    /// Returns whether a step would change anything: an outcome after the place, new text in the file, or a new file.
    fn has_something_to_do(&self, state: &State, index: WorkerIndex) -> bool {
        let name = self.name_of(index);
        let folder = self.folder(state, self.host_of(name));
        state.heads[usize::from(name)].is_none_or(|head| {
            let file = &folder.files[usize::from(head.file)];
            let is_settled = folder.at_path == Some(head.file) && file.end() == head.committed;
            !is_settled || !self.due(state, &head).is_empty()
        })
    }

    pub(crate) fn apply_log(&self, state: &mut State, step: Step) {
        match step {
            Step::LockLog(index)
            | Step::Scan(index)
            | Step::ReadOutcomes(index)
            | Step::Append(index)
            | Step::Flush(index)
            | Step::CommitLog(index)
            | Step::BeginLog(index) => {
                let logger = state.workers[usize::from(index)].logger;
                state.workers[usize::from(index)].logger =
                    self.next_of_logger(state, self.name_of(index), logger);
            }
            Step::Rotate(host) => {
                state.folders[usize::from(host)].at_path = None;
                state.rotations_left -= 1;
            }
            Step::DeleteRotated(host) => {
                if let Some(file) = self.deletable(state, host) {
                    state.folders[usize::from(host)].delete(file);
                }
            }
            _ => {}
        }
    }

    fn next_of_logger(&self, state: &mut State, name: NameIndex, logger: Logger) -> Logger {
        match logger {
            Logger::Idle if !self.has(Guard::ReadUnderLock) => {
                let place = state.heads[usize::from(name)].map(|head| head.place);
                Logger::Early(state.feed.after(place.unwrap_or_default()))
            }
            Logger::Idle => self.head_of_file(state, name, None),
            Logger::Early(read) => self.head_of_file(state, name, Some(read)),
            Logger::Passing(pass, Progress::ToScan) => {
                Logger::Passing(pass, self.scan(state, name, &pass.head))
            }
            Logger::Passing(pass, Progress::Scanned(scan, tail)) => {
                self.read_outcomes(state, name, pass, scan, tail)
            }
            Logger::Passing(pass, Progress::ToAppend { scan, read, text }) => {
                self.append(state, name, pass, scan, read, text)
            }
            Logger::Passing(pass, Progress::ToFlush(head, whole)) => {
                if self.has(Guard::PlaceAfterFlush) {
                    let file = self.file_mut(state, name, head.file);
                    file.flushed = file.end();
                }
                Logger::Passing(pass, Progress::ToCommit(head, whole))
            }
            Logger::Passing(pass, Progress::ToCommit(head, whole)) => {
                if !self.has(Guard::PlaceWithHead) {
                    let alone = Head { place: pass.head.place, ahead: pass.head.ahead, ..head };
                    self.store_head(state, name, Some(pass.head), alone);
                    return Logger::Passing(Pass { head: alone, ..pass }, Progress::ToMoveOn(head));
                }
                let has_moved = self.store_head(state, name, Some(pass.head), head);
                let pass = Pass { head, ..pass };
                self.after_pass(state, name, &pass, has_moved && whole == Whole::Yes)
            }
            Logger::Passing(pass, Progress::ToMoveOn(head)) => {
                self.store_head(state, name, Some(pass.head), head);
                self.after_pass(state, name, &Pass { head, ..pass }, true)
            }
            Logger::Beginning { locked, seen, head } => {
                let is_begun =
                    !self.has(Guard::BeginBeforeAppend) || self.store_head(state, name, seen, head);
                match is_begun {
                    true => Logger::Passing(Pass { locked, head, early: None }, Progress::ToScan),
                    // A dead process's begin has come in late: the next step sees it.
                    false => Logger::Idle,
                }
            }
        }
    }

    /// Finds the file that the stored head refers to: `Step::head_of_file`.
    fn head_of_file(&self, state: &mut State, name: NameIndex, early: Option<TaskList>) -> Logger {
        let locked = state.folders[usize::from(self.host_of(name))].open();
        match state.heads[usize::from(name)] {
            // All its lines must be known before the head leaves it: no later step looks there again.
            Some(head) if head.file == locked || self.has(Guard::RotatedFirst) => {
                Logger::Passing(Pass { locked, head, early }, Progress::ToScan)
            }
            head => self.beginning(state, name, locked, head),
        }
    }

    /// Returns the beginning of a file after this head: of the locked one, or of the first that has a line after the place, or half of one.
    /// A new name begins before the first line of its files, if they have some: those that are there are found, and those that were there
    /// before them are not written again.
    fn beginning(&self, state: &State, name: NameIndex, locked: FileIndex, after: Option<Head>) -> Logger {
        let folder = self.folder(state, self.host_of(name));
        let mut place = match after {
            Some(head) => head.place,
            None if self.has(Guard::PlaceFromFirstLine) => before_first_line(state, folder),
            None => Place::default(),
        };
        let ahead = after.map(|head| head.ahead).unwrap_or_default();
        let mut start = (locked, 0);
        if self.logs == Logs::OfTwoNames && self.has(Guard::SearchBeforeBegin) {
            let is_known = |task: &TaskIndex| {
                ahead.has(*task) || state.feed.place_of(*task).is_some_and(|at| at <= place)
            };
            let due =
                (0..self.tasks).filter(|task| !is_known(task) && !state.feed.has_pruned(*task)).collect();
            let ended = after.map(|head| head.file);
            let files = folder.files.iter().zip(0..).filter(|(_, file)| Some(*file) > ended);
            let begins = files
                .filter_map(|(text, file)| Some((file, text.first_of(due, self.has(Guard::SearchForTorn))?)));
            start = begins.min().unwrap_or(start);
        }
        if after.is_none()
            && !self.has(Guard::PlaceFromAllLines)
            && let Some((file, offset, task)) = folder.lines().last()
        {
            start = (file, offset + 1);
            place = state.feed.place_of(task).unwrap_or_default();
        }
        if !self.has(Guard::PlacePerLog) {
            place = state.shared_place();
        }
        let (file, committed) = start;
        Logger::Beginning { locked, seen: after, head: Head { file, committed, place, ahead } }
    }

    /// Reads the lines after the head: `lines_after` and `Ledger::recognize`. Only outcomes with a number have lines, and only lines of tasks
    /// that are kept are recognized.
    fn scan(&self, state: &State, name: NameIndex, head: &Head) -> Progress {
        let file = &self.folder(state, self.host_of(name)).files[usize::from(head.file)];
        let end = file.end();
        if !self.has(Guard::ScanBeforeAppend) {
            return Progress::Scanned(Scan { found: TaskSet::default(), end }, None);
        }
        let found =
            file.lines_after(head.committed).iter().filter(|task| !state.feed.has_pruned(*task)).collect();
        let torn = file.tail().map(|torn| match torn {
            Torn::Of(task) if state.feed.has_pruned(task) => Torn::Foreign,
            torn => torn,
        });
        Progress::Scanned(Scan { found, end }, torn)
    }

    /// Reads the outcomes after the place: `Step::text_to_append`.
    fn read_outcomes(
        &self,
        state: &mut State,
        name: NameIndex,
        pass: Pass,
        scan: Scan,
        torn: Option<Torn>,
    ) -> Logger {
        let found = scan.found;
        let mut after = pass.early.unwrap_or(self.due(state, &pass.head));
        if !self.has(Guard::ReadInOrder) {
            // By key.
            after = after.set().iter().collect();
        }
        let read: TaskList = after.iter().take(usize::from(self.page)).collect();
        let due = after.without(pass.head.ahead);
        let without_found = if self.has(Guard::AppendWithoutFound) { due.without(found) } else { due };
        let for_tail = if self.has(Guard::TailWithoutFound) { without_found } else { due };

        let lines: TaskList = read.iter().filter(|task| without_found.set().has(*task)).collect();
        let leaves_foreign = match pass.is_of_rotated() {
            true => pass.head.committed == 0 && found.is_empty(),
            false => lines.is_empty(),
        };
        // `Step::take_owner`.
        let owner = match torn {
            Some(Torn::Of(task)) => for_tail.set().has(task).then_some(task),
            Some(Torn::OfAny) => for_tail.iter().next(),
            Some(Torn::Foreign) | None => None,
        };
        let tail = match (torn, owner) {
            (Some(_), Some(task)) => Tail::Complete(task),
            (Some(_), None) if !leaves_foreign => Tail::Close,
            _ => Tail::Leave,
        };
        let lines = match pass.is_of_rotated() {
            true => TaskList::default(),
            false => lines.without(owner.into_iter().collect()),
        };

        let text = Text { tail, lines };
        let mut pass = pass;
        if !self.has(Guard::PlaceAfterAppend) {
            let place = self.place_after(state, &pass.head, read, found.and(text.tasks()));
            let head = Head { place, ..pass.head };
            self.store_head(state, name, Some(pass.head), head);
            pass.head = head;
        }
        match text.is_empty() {
            true => self.known(state, name, pass, scan, read, None),
            false => Logger::Passing(pass, Progress::ToAppend { scan, read, text }),
        }
    }

    /// Appends, and reads back what counts as written: `append`, then `lines_after`.
    fn append(
        &self,
        state: &mut State,
        name: NameIndex,
        pass: Pass,
        scan: Scan,
        read: TaskList,
        text: Text,
    ) -> Logger {
        let file = self.file_mut(state, name, pass.head.file);
        text.pieces().for_each(|piece| file.write(piece));
        let back = file.lines_after(scan.end);
        let end = file.end();
        let written = text.tasks().iter().filter(|task| back.has(*task) || !self.has(Guard::ReadBack));
        let written: TaskSet = written.collect();
        let whole = if written == text.tasks() { Whole::Yes } else { Whole::No };
        self.known(state, name, pass, Scan { found: scan.found.and(written), end }, read, Some(whole))
    }

    /// Returns the outcomes that may lack a line, in the order of their lines.
    fn due(&self, state: &State, head: &Head) -> TaskList {
        state.feed.after(head.place)
    }

    /// Returns the step that follows once it is known which outcomes have lines; `written` is `None` if nothing was written.
    fn known(
        &self,
        state: &State,
        name: NameIndex,
        pass: Pass,
        scan: Scan,
        read: TaskList,
        written: Option<Whole>,
    ) -> Logger {
        let place = self.place_after(state, &pass.head, read, scan.found);
        let is_ahead = |task: &u8| state.feed.place_of(*task).is_none_or(|at| at > place);
        let ahead = match self.has(Guard::RememberAhead) {
            true => scan.found.and(pass.head.ahead).iter().filter(is_ahead).collect(),
            false => TaskSet::default(),
        };
        let head = Head { committed: scan.end, place, ahead, ..pass.head };
        let whole = written.unwrap_or(Whole::Yes);
        if head == pass.head {
            self.after_pass(state, name, &pass, true)
        } else if written.is_none() && !self.has(Guard::FlushOfFound) {
            Logger::Passing(pass, Progress::ToCommit(head, whole))
        } else {
            Logger::Passing(pass, Progress::ToFlush(head, whole))
        }
    }

    /// Returns the place before the first of the outcomes read that is not among these, nor remembered.
    fn place_after(&self, state: &State, head: &Head, read: TaskList, known: TaskSet) -> Place {
        let known = known.and(head.ahead);
        let last = read.iter().take_while(|task| known.has(*task)).last();
        last.and_then(|task| state.feed.place_of(task)).unwrap_or(head.place)
    }

    /// Returns the state after a pass. The next step may be any process's: nothing is kept from one to the next.
    fn after_pass(&self, state: &State, name: NameIndex, pass: &Pass, is_all: bool) -> Logger {
        match pass.is_of_rotated() && is_all {
            true => self.beginning(state, name, pass.locked, Some(pass.head)),
            false => Logger::Idle,
        }
    }

    pub(crate) fn folder<'s>(&self, state: &'s State, host: NameIndex) -> &'s Folder {
        &state.folders[usize::from(host)]
    }

    pub(crate) fn file_mut<'s>(
        &self,
        state: &'s mut State,
        name: NameIndex,
        file: FileIndex,
    ) -> &'s mut File {
        &mut state.folders[usize::from(self.host_of(name))].files[usize::from(file)]
    }
}

/// Returns the place before the first outcome, in the feed's order, that has a line in these files.
fn before_first_line(state: &State, folder: &Folder) -> Place {
    let lines = folder.lines().map(|(.., task)| task).filter(|task| !state.feed.has_pruned(*task));
    let lines: TaskSet = lines.collect();
    let before = state.feed.kept().take_while(|(task, _)| !lines.has(*task)).last();
    before.filter(|_| !lines.is_empty()).map(|(_, place)| place).unwrap_or_default()
}

impl State {
    /// Returns whether no log's head leads to this file or an older one, neither a stored head nor one about to be stored.
    fn has_left(&self, file: FileIndex) -> bool {
        let late = self.late.iter().flatten().filter_map(|late| match late {
            Late::StoreHead { head, .. } => Some(*head),
            _ => None,
        });
        let passing = self.workers.iter().filter_map(|worker| match worker.logger {
            Logger::Passing(Pass { head, .. }, _) | Logger::Beginning { head, .. } => Some(head),
            Logger::Idle | Logger::Early(_) => None,
        });
        self.heads.iter().flatten().copied().chain(late).chain(passing).all(|head| head.file > file)
    }
}
