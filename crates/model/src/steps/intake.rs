//! The API: `Life::accept` and its batches, and the client's request to cancel.

use super::Step;
use crate::Protocol;
use crate::guards::Guard;
use crate::state::{Errand, Fence, Intake, Row, State, Status, Task, TaskIndex};

impl Protocol {
    pub(crate) fn offer_intake(&self, state: &State, steps: &mut Vec<Step>) {
        for index in 0..self.tasks {
            let task = &state.tasks[usize::from(index)];
            match task.intake {
                // `insert_all`.
                Intake::Inserting => steps.push(Step::Insert(index)),
                // `Life::look_for`: five seconds, then 503.
                Intake::Looking if task.row.is_some() => steps.push(Step::LookFor(index)),
                Intake::Looking => steps.push(Step::GiveUpLooking(index)),
                // `publish_all`, then the handler's 202.
                Intake::Recorded => steps.push(Step::Publish(index)),
                Intake::Answered | Intake::Gone => {}
            }
            // `mark_all`, whose failure is only logged.
            if let Errand::ToMark(_) = task.first_publish {
                steps.extend([Step::MarkPublished(index), Step::ForgetMark(index)]);
            }
            // `Life::cancel`, by any client that knows the id.
            if task.row.is_some_and(|row| self.may_be_cancelled(row)) {
                steps.push(Step::Cancel(index));
            }
        }
    }

    pub(crate) fn apply_intake(&self, state: &mut State, step: Step) {
        match step {
            Step::Insert(index) if !self.has(Guard::RecordBeforeAnswer) => {
                state.tasks[usize::from(index)].intake = Intake::Answered;
            }
            Step::Insert(index) => {
                self.insert(state, index);
                state.tasks[usize::from(index)].record();
            }
            Step::LookFor(index) => {
                let is_pending = state.row(index).is_some_and(|row| row.status == Status::Pending);
                let task = &mut state.tasks[usize::from(index)];
                match is_pending || !self.has(Guard::PublishOfPending) {
                    true => task.record(),
                    false => task.intake = Intake::Answered,
                }
            }
            Step::GiveUpLooking(index) => state.tasks[usize::from(index)].intake = Intake::Gone,
            Step::Publish(index) => {
                self.queue_message(state, index);
                let task = &mut state.tasks[usize::from(index)];
                task.intake = Intake::Answered;
                if let Errand::ToPublish(fence) = task.first_publish {
                    task.first_publish = Errand::ToMark(fence);
                }
            }
            Step::MarkPublished(index) => {
                let errand =
                    std::mem::replace(&mut state.tasks[usize::from(index)].first_publish, Errand::Nothing);
                self.mark(state, index, errand);
            }
            Step::ForgetMark(index) => state.tasks[usize::from(index)].first_publish = Errand::Nothing,
            Step::Cancel(index) => self.cancel(state, index),
            _ => {}
        }
    }

    fn may_be_cancelled(&self, row: Row) -> bool {
        match row.status {
            Status::Pending => true,
            // Cancelling twice has the effect of once.
            Status::Running => !row.cancel_requested,
            Status::Succeeded | Status::Failed | Status::Cancelled => !self.has(Guard::CancelBeforeEnd),
        }
    }

    /// Queues a message: `Queue::publish`, or an old message that comes again.
    pub(crate) fn queue_message(&self, state: &mut State, task: TaskIndex) {
        let messages = &mut state.tasks[usize::from(task)].messages;
        *messages = (*messages + 1).min(self.messages);
    }

    pub(crate) fn mark(&self, state: &mut State, task: TaskIndex, errand: Errand) {
        if let Errand::ToMark(fence) = errand {
            self.mark_published(state, task, fence);
        }
    }
}

impl Task {
    /// Records that the row was seen: it is published for the attempt that it had then.
    fn record(&mut self) {
        self.intake = Intake::Recorded;
        self.first_publish = Errand::ToPublish(Fence::Current);
    }
}
