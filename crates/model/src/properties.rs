//! The properties that must hold in every state, those that must be reached in some, and the condition that all promises are kept.

use stateright::Property;

use crate::state::{FILES, Fence, Intake, Piece, Row, Slot, State, Status, TASKS, TaskIndex};
use crate::{MAX_ATTEMPTS, Parts, Protocol};

/// An ended row never changes again, except for the mark that it was logged.
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
/// In the log and its rotated files together.
pub const ONE_LINE: &str = "a task has one line at most";
/// The log has only ended tasks.
pub const LINES_ARE_OF_ENDED: &str = "only an ended task has a line";
/// A mark is never ahead of its line.
pub const MARKED_IS_WRITTEN: &str = "what is marked is written";
/// The head never returns to a file that it has left.
pub const HEAD_GOES_ON: &str = "the log's head never goes back";
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
        ];
        if self.parts != Parts::Log {
            all.extend(of_life());
        }
        if self.parts != Parts::Life {
            all.extend(of_log());
        }
        all
    }

    /// Returns whether nothing is left to do for any promise.
    pub(crate) fn are_all_kept(&self, state: &State) -> bool {
        state.tasks.iter().all(|task| match task.row {
            None => task.intake == Intake::Gone,
            Some(row) => row.status.is_ended() && (row.logged || self.parts == Parts::Life),
        })
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
            (0..TASKS as TaskIndex).all(|task| state.has_lost_messages || !state.is_published_in_vain(task))
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

fn of_log() -> [Property<Protocol>; 5] {
    [
        Property::always(ONE_LINE, |_, state: &State| {
            (0..TASKS as TaskIndex).all(|task| state.lines_of(task) <= 1)
        }),
        Property::always(LINES_ARE_OF_ENDED, |_, state: &State| {
            let has_ended = |task| state.row(task).is_some_and(|row| row.status.is_ended());
            (0..TASKS as TaskIndex).all(|task| state.lines_of(task) == 0 || has_ended(task))
        }),
        Property::always(MARKED_IS_WRITTEN, |_, state: &State| {
            let is_logged = |task| state.row(task).is_some_and(|row| row.logged);
            (0..TASKS as TaskIndex).all(|task| !is_logged(task) || state.lines_of(task) >= 1)
        }),
        Property::always(HEAD_GOES_ON, |_, state: &State| !state.log.head_went_back),
        Property::sometimes("all is logged, over all files", |model, state: &State| {
            let files = usize::from(model.rotations + 1).min(FILES);
            model.are_all_kept(state)
                && usize::from(state.log.made) == files
                && rows(state).all(|row| row.logged)
        }),
    ]
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

    fn lines_of(&self, task: TaskIndex) -> usize {
        let pieces = self.log.files.iter().flat_map(|file| file.pieces());
        pieces.filter(|piece| *piece == Piece::Line(task)).count()
    }
}
