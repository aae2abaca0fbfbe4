//! The guards of the protocol, each of which can be removed: the sweep of cuts must notice.
//!
//! The product has no switch to run without them. So the test changes the database or the log right before the guarded call, so that the
//! guard no longer sees the condition that it guards against.

use std::fs::{self, OpenOptions};
use std::io::Write;

use task_data::store::Completion;
use task_data::task::{Status, TaskId};
use test_kit::psql;

use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A claim takes pending tasks alone.
    ClaimsThePendingAlone,
    /// Only the running attempt can be ended.
    EndsItsOwnAttemptAlone,
    /// The log is scanned for existing lines before any is appended.
    ScansBeforeItAppends,
    /// A torn line is completed.
    CompletesTornLines,
    /// The tasks that a dead worker held become pending again.
    ReturnsWhatTheDeadHeld,
    /// Retention deletes only what each log has.
    DeletesWhatIsLoggedAlone,
}

impl World {
    fn is_without(&self, guard: Guard) -> bool {
        self.removed == Some(guard)
    }

    /// Undoes the guard of a claim, right before it.
    pub fn weaken_claim(&self, ids: &[TaskId]) {
        if self.is_without(Guard::ClaimsThePendingAlone) {
            for id in ids {
                let reset = "status = 'pending', finished = NULL, result = NULL, worker = NULL";
                psql(&self.url, &format!("UPDATE tasks SET {reset} WHERE id = '{id}'"));
            }
        }
    }

    /// Undoes the guard of an end, right before it.
    pub fn weaken_end(&self, completions: &[Completion]) {
        if self.is_without(Guard::EndsItsOwnAttemptAlone) {
            for Completion { id, from, attempt, .. } in completions {
                let (status, attempt) = (from.name(), attempt - i64::from(*from == Status::Pending));
                let reset =
                    format!("status = '{status}', finished = NULL, result = NULL, attempt = {attempt}");
                psql(&self.url, &format!("UPDATE tasks SET {reset} WHERE id = '{id}'"));
            }
        }
    }

    /// Returns whether the log's step is not told of the rows whose lines it has found.
    pub fn hides_found_lines(&self) -> bool {
        self.is_without(Guard::ScansBeforeItAppends)
    }

    /// Undoes the guard of a step of the log, right before it: the log's tail looks like a whole line.
    pub fn weaken_log_step(&self) {
        let is_torn = |text: &[u8]| text.last().is_some_and(|last| *last != b'\n');
        if self.is_without(Guard::CompletesTornLines) && is_torn(&fs::read(self.log()).unwrap()) {
            OpenOptions::new().append(true).open(self.log()).unwrap().write_all(b"\n").unwrap();
        }
    }

    /// Undoes the guards of retention while no process lives: all has been counted, and no log was written lately, so none is waited for.
    pub fn weaken_retention(&self) {
        if self.is_without(Guard::DeletesWhatIsLoggedAlone) {
            psql(&self.url, "UPDATE stats_place SET no = 1000000000");
            psql(&self.url, "UPDATE followers SET seen_at = seen_at - interval '8 days'");
        }
    }

    /// Returns whether dead workers keep their tasks.
    pub fn keeps_the_dead(&self) -> bool {
        self.is_without(Guard::ReturnsWhatTheDeadHeld)
    }
}
