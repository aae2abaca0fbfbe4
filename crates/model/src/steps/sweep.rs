//! The sweep: `task-data/src/life/sweep.rs`, run by every worker.
//!
//! Two sweeps at once meet only in the database, where each statement is fenced; of their tickets, one for each task is modelled here,
//! beside the API's own, which is the same.
//!
//! Times are not modelled: a pending row may be due at any moment. Back-offs and due times only make that rarer.

use super::Step;
use crate::Protocol;
use crate::guards::Guard;
use crate::state::{Errand, Fence, Lease, Row, State, Status};

impl Protocol {
    pub(crate) fn offer_sweep(&self, state: &State, steps: &mut Vec<Step>) {
        // `Leases::return_lost`.
        let has_lapsed = |lease: Option<Lease>| {
            lease == Some(Lease::Lapsed) || lease == Some(Lease::Live) && !self.has(Guard::SweepOfLapsed)
        };
        let kept = state.workers.iter().map(|worker| worker.lease);
        if kept.chain(state.old_leases).any(has_lapsed) || state.lost().next().is_some() {
            steps.push(Step::ReturnLost);
        }
        for index in 0..self.tasks {
            let task = &state.tasks[usize::from(index)];
            match task.sweep_publish {
                Errand::ToMark(_) => steps.extend([Step::MarkDue(index), Step::ForgetDue(index)]),
                Errand::Nothing | Errand::ToPublish(_) => {
                    if task.row.is_some_and(|row| self.is_to_publish(state, row)) {
                        steps.push(Step::PublishDue(index));
                    }
                }
            }
        }
    }

    /// Returns whether `Tasks::due` returns the row, because it was never published, or `Life::publish_lost` finds its queue empty. A task
    /// published again because younger ones were delivered is a doubled message.
    fn is_to_publish(&self, state: &State, row: Row) -> bool {
        if row.status != Status::Pending {
            return false;
        }
        let depth: u8 = state.tasks.iter().map(|task| task.messages).sum();
        !row.published || self.has(Guard::SweepOfPublished) && depth == 0
    }

    pub(crate) fn apply_sweep(&self, state: &mut State, step: Step) {
        match step {
            Step::ReturnLost => self.return_lost(state),
            // A late message has the same effect as a late delivery: it may be published at the moment of `Tasks::due`.
            Step::PublishDue(index) => {
                self.queue_message(state, index);
                state.tasks[usize::from(index)].sweep_publish = Errand::ToMark(Fence::Current);
            }
            Step::MarkDue(index) => {
                let errand =
                    std::mem::replace(&mut state.tasks[usize::from(index)].sweep_publish, Errand::Nothing);
                self.mark(state, index, errand);
            }
            // No confirm, an error, or the end of its process: the next sweep continues.
            Step::ForgetDue(index) => state.tasks[usize::from(index)].sweep_publish = Errand::Nothing,
            _ => {}
        }
    }
}
