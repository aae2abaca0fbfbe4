//! A worker's slot, from a delivery to the end of its work (`worker/src/pool.rs`), and its lease (`worker/src/lease.rs`).
//!
//! Each worker has one slot. Work is represented by its end: with a result, with a transient error that is charged, or given up (by a stop
//! or a wait) without a charge. Giving up is always possible here, so the signal to stop needs no state.

use super::Step;
use crate::Protocol;
use crate::guards::Guard;
use crate::late::Charge;
use crate::state::{Fence, Lease, LeaseName, Slot, State, Status, TaskIndex, WORKERS, WorkerIndex};

impl Protocol {
    pub(crate) fn offer_claim(&self, state: &State, steps: &mut Vec<Step>) {
        for index in 0..WORKERS as WorkerIndex {
            let worker = &state.workers[usize::from(index)];
            match worker.slot {
                // `Consumer::next`, only with a free slot.
                Slot::Free => {
                    let ready = (0..self.tasks).filter(|task| state.tasks[usize::from(*task)].messages > 0);
                    steps.extend(ready.map(|task| Step::Take(index, task)));
                }
                // Work with its content in the row may be done without a claim; an older version claims it, and so does a newer one when it
                // pleases (a message that comes again). No lease is needed.
                // `Tasks::claim` begins. Without a live lease nothing is claimed: `Lease::doubt` waits for a heartbeat.
                Slot::Delivered(_) => {
                    steps.push(Step::ReadSmall(index));
                    if self.may_claim_under(worker.lease) {
                        steps.push(Step::LookAtLease(index));
                    }
                }
                // One conditional statement.
                Slot::Hashing(..) if self.has_pause => steps.push(Step::LookAtPause(index)),
                Slot::Hashing(..) | Slot::EndingSmall(..) => steps.push(Step::EndSmall(index)),
                Slot::Claiming(..) => steps.push(Step::Claim(index)),
                // `Receipt::ack`, then `Lease::hold`.
                Slot::Claimed(..) | Slot::Ended(_) => steps.push(Step::Acknowledge(index)),
                // `Hand::settle`.
                Slot::Working(..) => steps.extend([
                    Step::Complete(index),
                    Step::HandBack(index, Charge::Try),
                    Step::HandBack(index, Charge::Nothing),
                ]),
                // `patiently`.
                Slot::Ending(..) => steps.push(Step::Complete(index)),
            }
            // `Lease::extend`. While the lease is live, a heartbeat changes only its end.
            if worker.lease != Some(Lease::Live) {
                steps.push(Step::Beat(index));
            }
            // `Lease::attend`. It compares the rows that it has read with the tasks held by now, and hands back even later: so it may hand
            // back even a task that is held. What only takes time (a claim of the last 10 s is left alone) is not modelled.
            if worker.lease.is_some() && self.has(Guard::HandBackByBeat) {
                let is_its = |task: &TaskIndex| {
                    let row = state.row(*task);
                    row.is_some_and(|row| {
                        row.status == Status::Running && row.holder == Some(LeaseName::Kept(index))
                    })
                };
                steps.extend((0..self.tasks).filter(is_its).map(|task| Step::ReturnUnheld(index, task)));
            }
        }
        let old = (0..state.old_leases.len()).filter(|old| state.old_leases[*old] == Some(Lease::Live));
        steps.extend(old.map(|old| Step::LapseOld(old as u8)));
    }

    fn may_claim_under(&self, lease: Option<Lease>) -> bool {
        lease == Some(Lease::Live) || !self.has(Guard::ClaimUnderLease)
    }

    pub(crate) fn apply_claim(&self, state: &mut State, step: Step) {
        match step {
            Step::Take(index, task) => {
                state.tasks[usize::from(task)].messages -= 1;
                state.workers[usize::from(index)].slot = Slot::Delivered(task);
            }
            Step::LookAtLease(index) => self.look_at_lease(state, index),
            Step::Claim(index) => {
                let Slot::Claiming(task, lease) = state.workers[usize::from(index)].slot else { return };
                let is_claimed = self.claim(state, task, lease);
                let worker = &mut state.workers[usize::from(index)];
                worker.slot = match worker.lease {
                    _ if is_claimed => Slot::Claimed(task, Fence::Current),
                    // Another worker has it, or it has ended: acknowledged.
                    Some(Lease::Live) => Slot::Free,
                    // The statement can't say why nothing came back: `Claims::lease_is_live`.
                    Some(Lease::Lapsed) | None => Slot::Delivered(task),
                };
            }
            Step::Acknowledge(index) => {
                let slot = &mut state.workers[usize::from(index)].slot;
                match *slot {
                    Slot::Claimed(task, fence) => *slot = Slot::Working(task, fence),
                    Slot::Ended(_) => *slot = Slot::Free,
                    _ => {}
                }
            }
            // A row that isn't pending has another worker or has ended: acknowledged.
            Step::ReadSmall(index) => {
                if let Slot::Delivered(task) = state.workers[usize::from(index)].slot {
                    let is_pending = state.row(task).is_some_and(|row| row.status == Status::Pending);
                    let slot = if is_pending { Slot::Hashing(task, Fence::Current) } else { Slot::Free };
                    state.workers[usize::from(index)].slot = slot;
                }
            }
            Step::LookAtPause(index) => {
                if let Slot::Hashing(task, fence) = state.workers[usize::from(index)].slot {
                    let is_refused = self.refuses_small_ends(state);
                    let slot =
                        if is_refused { Slot::Delivered(task) } else { Slot::EndingSmall(task, fence) };
                    state.workers[usize::from(index)].slot = slot;
                }
            }
            Step::EndSmall(index) => {
                if let Slot::Hashing(task, fence) | Slot::EndingSmall(task, fence) =
                    state.workers[usize::from(index)].slot
                {
                    // A worker that has lost the race drops its result, and claims the task, to learn why.
                    let has_ended = self.end_small(state, task, fence);
                    let slot = if has_ended { Slot::Ended(task) } else { Slot::Delivered(task) };
                    state.workers[usize::from(index)].slot = slot;
                }
            }
            Step::Complete(index) => {
                if let Some((task, fence)) = state.workers[usize::from(index)].slot.claim() {
                    self.complete(state, task, fence);
                    state.workers[usize::from(index)].slot = Slot::Free;
                }
            }
            Step::HandBack(index, charge) => {
                if let Some((task, fence)) = state.workers[usize::from(index)].slot.claim() {
                    self.hand_back(state, task, fence, charge);
                    state.workers[usize::from(index)].slot = Slot::Free;
                }
            }
            // Extended while its row exists; otherwise another is registered under a new id.
            Step::Beat(index) => state.workers[usize::from(index)].lease = Some(Lease::Live),
            Step::ReturnUnheld(_, task) => self.hand_back(state, task, Fence::Current, Charge::Nothing),
            Step::LapseOld(old) => state.old_leases[usize::from(old)] = Some(Lease::Lapsed),
            _ => {}
        }
    }

    /// Checks the pause, the lease and the row at the beginning of a claim, under the lock that a pause waits for. A row that isn't
    /// pending then is not checked again.
    fn look_at_lease(&self, state: &mut State, index: WorkerIndex) {
        let worker = state.workers[usize::from(index)];
        let Slot::Delivered(task) = worker.slot else { return };
        let is_wanted = state.row(task).is_some_and(|row| self.is_claimable(&row));
        let lease = if worker.lease.is_some() { LeaseName::Kept(index) } else { LeaseName::Ended };
        let is_refused = is_wanted && self.refuses_claims(state);
        if is_refused && self.has(Guard::ReturnOfRefused) {
            // The worker stops to consume, and its deliveries go back to the queue.
            self.queue_message(state, task);
        }
        let is_claimed = is_wanted && !is_refused;
        let slot = if is_claimed { Slot::Claiming(task, lease) } else { Slot::Free };
        state.workers[usize::from(index)].slot = slot;
    }
}

impl Slot {
    /// Begins a small work's end anew, from its look for a pause.
    pub(crate) const fn look_again(&mut self) {
        if let Self::EndingSmall(task, fence) = *self {
            *self = Self::Hashing(task, fence);
        }
    }

    /// Returns the claim that the slot may end or hand back.
    pub(crate) const fn claim(self) -> Option<(TaskIndex, Fence)> {
        match self {
            Self::Working(task, fence) | Self::Ending(task, fence) => Some((task, fence)),
            _ => None,
        }
    }

    /// Returns the task whose message comes again unless it is acknowledged.
    pub(crate) const fn delivery(self) -> Option<TaskIndex> {
        match self {
            Self::Delivered(task) | Self::Claiming(task, _) | Self::Claimed(task, _) => Some(task),
            Self::Hashing(task, _) | Self::EndingSmall(task, _) | Self::Ended(task) => Some(task),
            _ => None,
        }
    }
}
