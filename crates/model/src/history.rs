//! Records the effect of a step on each row, for the properties. It compares only the row before and after, not the way the step changed
//! it: so it can't share an error with the step.

use crate::feed::FeedRow;
use crate::late::Late;
use crate::state::{Fence, Slot, State, Status, TaskIndex};
use crate::steps::Step;

impl State {
    /// Records the effect of the step that led here from `before`.
    pub(crate) fn note(&mut self, before: &Self, step: Step) {
        let superseded = before.superseded_writer(step);
        for (index, task) in self.tasks.iter_mut().enumerate() {
            let (Some(was), Some(is)) = (before.tasks[index].row, task.row) else { continue };
            if was.status.is_ended() && was != is {
                task.history.changed_after_end = true;
            }
            if !was.status.is_ended() && is.status.is_ended() {
                task.history.ends = (task.history.ends + 1).min(2);
            }
            if superseded == Some(index as TaskIndex) && was != is {
                task.history.changed_by_superseded = true;
            }
        }
    }

    /// Records whether a number has changed. A row is known by its first task.
    pub(crate) fn note_numbers(&mut self, before: &Self) {
        let has_changed = before.feed.rows().any(|was| {
            let is_same = |is: &FeedRow| is.tasks == was.tasks && is.number == was.number;
            was.number.is_some() && !self.feed.rows().any(|is| is_same(&is))
        });
        self.past.has_changed_number |= has_changed;
    }

    /// Returns the task for which the step writes the result of a claim, if the row does not run under that claim any more; of small
    /// work, if the row is not pending any more in the attempt that was read.
    fn superseded_writer(&self, step: Step) -> Option<TaskIndex> {
        let (task, fence, status) = match step {
            Step::Complete(worker)
            | Step::HandBack(worker, _)
            | Step::EndSmall(worker)
            | Step::LoseEndsAnswer(worker, _) => match self.workers[usize::from(worker)].slot {
                Slot::Hashing(task, fence) => (task, fence, Status::Pending),
                slot => slot.claim().map(|(task, fence)| (task, fence, Status::Running))?,
            },
            Step::CommitLate(at) => match self.late[usize::from(at)]? {
                Late::Complete(task, fence) | Late::HandBack(task, fence, _) => {
                    (task, fence, Status::Running)
                }
                Late::EndSmall(task, fence) => (task, fence, Status::Pending),
                _ => return None,
            },
            _ => return None,
        };
        let is_so = self.row(task).is_some_and(|row| row.status == status);
        (fence == Fence::Passed || !is_so).then_some(task)
    }
}
