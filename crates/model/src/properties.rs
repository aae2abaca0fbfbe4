//! The properties that must hold in every state, those that must be reached in some, and the condition that all promises are kept.

use stateright::Property;

use crate::feed::Place;
use crate::files::{Folder, Piece, Torn};
use crate::logger::{Head, NAMES, NameIndex};
use crate::state::{Fence, Intake, Pause, Row, Slot, State, Status, TASKS, TaskIndex};
use crate::{Logs, MAX_ATTEMPTS, Parts, Protocol};

/// An ended row never changes again.
pub const ENDED_IS_FINAL: &str = "an ended task never changes";
/// Of all attempts at a task one ends it.
pub const ENDS_ONCE: &str = "a task ends once";
/// Writes of a claim that was superseded have no effect.
pub const SUPERSEDED_CHANGES_NOTHING: &str = "a superseded claim changes nothing";
/// A task is not retried for ever.
pub const TRIES_ARE_BOUNDED: &str = "tries are bounded";
/// An attempt is charged only for a worker that was lost.
pub const LOSSES_ARE_FAULTS: &str = "no try is charged for a loss that was none";
/// A running row names a lease, so that the lease's end returns it.
pub const RUNNING_IS_HELD: &str = "what runs names its lease";
/// A pending row can be claimed.
pub const NO_CANCEL_IS_STRANDED: &str = "no wish to cancel is stranded";
/// The row is committed before the id is sent.
pub const ANSWERED_IS_RECORDED: &str = "what was answered is recorded";
/// If the queue has lost nothing, a ticket marked as published is on its way.
pub const PUBLISHED_IS_UNDER_WAY: &str = "what is published is under way";
/// F1, for all ways in which tasks end.
pub const FED_ONCE: &str = "F1: each ended task is in exactly one feed row";
/// F2, at every moment.
pub const NUMBERS_HAVE_NO_GAP: &str = "F2: the numbers have no gap";
/// F2, over time.
pub const NUMBERS_STAY: &str = "F2: a number once given never changes";
/// F3.
pub const READER_MISSES_NONE: &str = "F3: a reader that asks after its place misses no outcome";
/// F3.
pub const READER_SEES_NONE_TWICE: &str = "F3: a reader that asks after its place gets no outcome twice";
/// F4. In a log and its rotated files together.
pub const ONE_LINE: &str = "F4: a task has one line at most in each log";
/// F4. Retention never passes a log.
pub const PRUNED_IS_WRITTEN: &str = "F4: what was deleted is written in each log";
/// F4. A place is never ahead of its lines.
pub const PASSED_IS_WRITTEN: &str = "F4: what a log's place has passed is written there";
/// F4. Unless a foreign program has spoiled a line without the lock: it is written again after those that follow it.
pub const LINES_ARE_IN_ORDER: &str = "F4: the lines are in the order of the feed";
/// A head does not leave a file before its torn line is whole.
pub const NO_HALF_IS_LEFT: &str = "no half line is left behind";
/// The log has only outcomes that have a place.
pub const LINES_ARE_OF_NUMBERED: &str = "only a numbered outcome has a line";
/// The head never returns to a file that it has left, the place never to an outcome.
pub const HEADS_GO_ON: &str = "a log's head and place never go back";
/// A pause is exact.
pub const NOTHING_BEGINS_IN_PAUSE: &str = "no task begins after a pause was answered";
/// From every state, the program's own steps can lead there: see `reach`. It is not a property of a state.
pub const ALL_CAN_END: &str = "every promise can still end and be logged";

impl Protocol {
    pub(crate) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ENDED_IS_FINAL, |_, state: &State| {
                state.tasks.iter().all(|task| !task.history.changed_after_end)
            }),
            Property::always(ENDS_ONCE, |_, state: &State| {
                state.tasks.iter().all(|task| task.history.ends <= 1)
            }),
            Property::always(FED_ONCE, |_, state: &State| {
                let has_ended = |task| state.row(task).is_some_and(|row| row.status.is_ended());
                tasks().all(|task| state.feed.rows_of(task) == usize::from(has_ended(task)))
            }),
        ];
        if self.has_life() {
            all.extend(of_life());
        }
        if self.has_pause {
            all.extend([
                Property::always(NOTHING_BEGINS_IN_PAUSE, |_, state: &State| !state.past.has_begun_in_pause),
                Property::sometimes("a task ends while its kind is paused", |model: &Self, state: &State| {
                    state.pause == Pause::On && model.are_all_kept(state)
                }),
            ]);
        }
        if self.parts != Parts::Life {
            all.extend(of_numbers());
        }
        if self.parts == Parts::Feed {
            all.extend(of_reader());
        }
        if self.has_log() {
            all.extend(of_log());
        }
        if self.prunes {
            all.push(Property::always(PRUNED_IS_WRITTEN, |model, state: &State| {
                !model.has_log()
                    || (0..model.followers() as NameIndex).all(|name| {
                        let folder = model.folder(state, model.host_of(name));
                        tasks().all(|task| !state.feed.has_pruned(task) || folder.lines_of(task) >= 1)
                    })
            }));
            all.push(Property::sometimes("all outcomes are deleted", |model, state: &State| {
                model.are_all_kept(state) && state.feed.kept().next().is_none()
            }));
        }
        if self.has_foreign_writers && self.faults > 0 && self.tasks > 1 && self.page > 1 {
            all.push(Property::sometimes("a log knows lines after its place", |_, state: &State| {
                state.heads.iter().flatten().any(|head| !head.ahead.is_empty())
            }));
        }
        all
    }

    /// Returns the number of followers' heads.
    pub(crate) fn followers(&self) -> usize {
        match self.logs {
            Logs::One => 1,
            Logs::OnTwoHosts | Logs::OfTwoNames => NAMES,
        }
    }

    /// Returns whether nothing is left to do for any promise.
    pub(crate) fn are_all_kept(&self, state: &State) -> bool {
        let has_ended = state.tasks.iter().all(|task| match task.row {
            None => task.intake == Intake::Gone,
            Some(row) => row.status.is_ended(),
        });
        let is_passed = || match self.parts {
            Parts::Life => true,
            Parts::Feed => !self.has_more_to_read(state),
            Parts::Log | Parts::Both => {
                let names = self.followers();
                let is_last = |head: Head| state.feed.after(head.place).is_empty();
                state.heads[..names].iter().all(|head| head.is_some_and(is_last))
            }
        };
        has_ended && (self.parts == Parts::Life || state.feed.unnumbered().is_empty() && is_passed())
    }
}

fn of_life() -> [Property<Protocol>; 12] {
    [
        Property::always(SUPERSEDED_CHANGES_NOTHING, |_, state: &State| {
            state.tasks.iter().all(|task| !task.history.changed_by_superseded)
        }),
        Property::always(TRIES_ARE_BOUNDED, |_, state: &State| {
            let is_bounded = |row: Row| match row.status {
                Status::Pending | Status::Running => row.tries < MAX_ATTEMPTS,
                Status::Succeeded | Status::Failed | Status::Cancelled => row.tries <= MAX_ATTEMPTS,
            };
            rows(state).all(is_bounded)
        }),
        Property::always(LOSSES_ARE_FAULTS, |model, state: &State| {
            let faults = model.faults - state.faults_left;
            state.tasks.iter().all(|task| task.history.losses <= faults)
        }),
        Property::always(RUNNING_IS_HELD, |_, state: &State| {
            rows(state).all(|row| (row.status == Status::Running) == row.holder.is_some())
        }),
        Property::always(NO_CANCEL_IS_STRANDED, |_, state: &State| {
            rows(state).all(|row| row.status == Status::Running || !row.cancel_requested)
        }),
        Property::always(ANSWERED_IS_RECORDED, |_, state: &State| {
            state.tasks.iter().all(|task| task.intake != Intake::Answered || task.row.is_some())
        }),
        Property::always(PUBLISHED_IS_UNDER_WAY, |_, state: &State| {
            tasks().all(|task| state.has_lost_messages || !state.is_published_in_vain(task))
        }),
        // These must happen somewhere, which shows that the other properties are not true merely of an empty space.
        Property::sometimes("a task succeeds", |_, state| has_status(state, Status::Succeeded)),
        Property::sometimes("a task ends without a claim", |_, state: &State| {
            state.workers.iter().any(|worker| matches!(worker.slot, Slot::Ended(_)))
        }),
        Property::sometimes("a task fails", |_, state| has_status(state, Status::Failed)),
        Property::sometimes("a running task is wished to be cancelled", |_, state| {
            rows(state).any(|row| row.cancel_requested)
        }),
        Property::sometimes("a superseded claim is still worked on", |_, state: &State| {
            state.workers.iter().any(|worker| matches!(worker.slot, Slot::Working(_, Fence::Passed)))
        }),
    ]
}

fn of_numbers() -> [Property<Protocol>; 2] {
    [
        Property::always(NUMBERS_HAVE_NO_GAP, |_, state: &State| {
            let mut numbers: Vec<u8> = state.feed.rows().filter_map(|row| row.number).collect();
            numbers.sort_unstable();
            numbers.into_iter().eq(1..=state.feed.last_number)
        }),
        Property::always(NUMBERS_STAY, |_, state: &State| !state.past.has_changed_number),
    ]
}

fn of_reader() -> [Property<Protocol>; 4] {
    [
        // It has asked until there was nothing left.
        Property::always(READER_MISSES_NONE, |model, state: &State| {
            let mut numbered = state.feed.numbered().into_iter();
            let known = state.reader.seen.and(state.reader.told);
            model.has_more_to_read(state) || numbered.all(|(task, _)| known.has(task))
        }),
        Property::always(READER_SEES_NONE_TWICE, |_, state: &State| !state.reader.has_seen_twice),
        Property::sometimes("rows are numbered in another order than they were begun", |_, state: &State| {
            let numbers: Vec<u8> = state.feed.rows().filter_map(|row| row.number).collect();
            !numbers.is_sorted()
        }),
        Property::sometimes("a reader has seen all, of rows with several tasks", |model, state: &State| {
            model.are_all_kept(state) && state.feed.rows().count() < usize::from(model.tasks)
        }),
    ]
}

fn of_log() -> [Property<Protocol>; 7] {
    [
        Property::always(ONE_LINE, |_, state: &State| {
            state.folders.iter().all(|folder| tasks().all(|task| folder.lines_of(task) <= 1))
        }),
        Property::always(PASSED_IS_WRITTEN, |model, state: &State| {
            (0..model.followers() as NameIndex).all(|name| {
                let Some(head) = state.heads[usize::from(name)] else { return true };
                let folder = model.folder(state, model.host_of(name));
                let spoiled = place_of_spoiled(state, folder);
                let mut numbered = state.feed.numbered().into_iter().filter(|(_, place)| *place >= spoiled);
                numbered.all(|(task, place)| {
                    let is_passed = place <= head.place || head.ahead.has(task);
                    !is_passed || folder.lines_of(task) >= 1
                })
            })
        }),
        Property::always(LINES_ARE_IN_ORDER, |_, state: &State| {
            state.folders.iter().all(|folder| {
                let is_spoiled = folder.pieces().any(|piece| piece == Piece::Foreign);
                is_spoiled || folder.lines().map(|(.., task)| state.feed.place_of(task)).is_sorted()
            })
        }),
        Property::always(LINES_ARE_OF_NUMBERED, |_, state: &State| {
            let mut lines = state.folders.iter().flat_map(Folder::lines);
            lines.all(|(.., task)| state.feed.place_of(task).is_some())
        }),
        Property::always(NO_HALF_IS_LEFT, |model, state: &State| {
            (0..NAMES as NameIndex).all(|name| {
                let Some(head) = state.heads[usize::from(name)] else { return true };
                let folder = model.folder(state, model.host_of(name));
                let is_spoiled = place_of_spoiled(state, folder) > Place::default();
                let is_half = |torn| matches!(torn, Torn::Of(_) | Torn::OfAny);
                let mut left = folder.files.iter().take(usize::from(head.file));
                is_spoiled || left.all(|file| !file.tail().is_some_and(is_half))
            })
        }),
        Property::always(HEADS_GO_ON, |_, state: &State| !state.past.has_gone_back),
        Property::sometimes("all is logged, over all files", |model, state: &State| {
            let made: u8 = state.folders.iter().map(|folder| folder.made).sum();
            let hosts = if model.logs == Logs::OnTwoHosts { 2 } else { 1 };
            model.are_all_kept(state) && made == model.rotations + hosts
        }),
    ]
}

fn tasks() -> impl Iterator<Item = TaskIndex> {
    0..TASKS as TaskIndex
}

/// Returns the place of the first outcome that has a line, if foreign text precedes all lines. What a foreign program has spoiled there is
/// taken by a new name for what is in files that were deleted.
fn place_of_spoiled(state: &State, folder: &Folder) -> Place {
    let mut before_lines = folder.pieces().take_while(|piece| !matches!(piece, Piece::Line(_)));
    let first = folder.lines().filter_map(|(.., task)| state.feed.place_of(task)).min();
    before_lines.find(|piece| *piece == Piece::Foreign).and(first).unwrap_or_default()
}

fn rows(state: &State) -> impl Iterator<Item = Row> + '_ {
    state.tasks.iter().filter_map(|task| task.row)
}

fn has_status(state: &State, status: Status) -> bool {
    rows(state).any(|row| row.status == status)
}

impl State {
    fn is_published_in_vain(&self, index: TaskIndex) -> bool {
        let task = &self.tasks[usize::from(index)];
        let waits = task.row.is_some_and(|row| row.status == Status::Pending && row.published);
        let is_delivered = self.workers.iter().any(|worker| worker.slot.delivery() == Some(index));
        waits && task.messages == 0 && !is_delivered
    }
}
