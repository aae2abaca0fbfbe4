//! Records the effect of a step on each row, for the properties. It compares only the row before and after, not the way the step changed
//! it: so it can't share an error with the step.

use crate::feed::FeedRow;
use crate::late::Late;
use crate::state::{Fence, Pause, Slot, State, Status, Task, TaskIndex};
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

    /// Records whether a task has begun while its kind was paused: a claim, or the end of small work, which is an attempt too.
    pub(crate) fn note_pause(&mut self, before: &Self) {
        let begins = |(was, is): (&Task, &Task)| {
            let statuses = was.row.map(|row| row.status).zip(is.row.map(|row| row.status));
            matches!(statuses, Some((Status::Pending, Status::Running | Status::Succeeded)))
        };
        let has_begun = before.tasks.iter().zip(&self.tasks).any(begins);
        self.past.has_begun_in_pause |= before.pause == Pause::On && has_begun;
    }

    /// Returns the task for which the step writes the result of a claim, if the row does not run under that claim any more; of small
    /// work, if the row is not pending any more in the attempt that was read.
    fn superseded_writer(&self, step: Step) -> Option<TaskIndex> {
        let (task, fence, status) = match step {
            Step::Complete(worker)
            | Step::HandBack(worker, _)
            | Step::EndSmall(worker)
            | Step::LoseEndsAnswer(worker, _) => match self.workers[usize::from(worker)].slot {
                Slot::Hashing(task, fence) | Slot::EndingSmall(task, fence) => (task, fence, Status::Pending),
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
