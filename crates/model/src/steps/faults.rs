//! The faults; each step counts as one.

use super::{Cut, Step};
use crate::files::{FILES, FileIndex, Torn, Written};
use crate::guards::Guard;
use crate::late::{Charge, Fate, Late};
use crate::logger::{Logger, NAMES, NameIndex, Progress};
use crate::state::{Errand, Intake, Lease, LeaseName, Slot, State, WORKERS, Worker, WorkerIndex};
use crate::{Parts, Protocol};

impl Protocol {
    pub(crate) fn offer_faults(&self, state: &State, steps: &mut Vec<Step>) {
        if self.has_life() {
            self.offer_faults_of_tasks(state, steps);
            for index in 0..WORKERS as WorkerIndex {
                self.offer_faults_of_slot(state, index, steps);
            }
        }
        if self.has_log() {
            for index in 0..WORKERS as WorkerIndex {
                self.offer_faults_of_logger(state, index, steps);
            }
            for host in 0..NAMES as NameIndex {
                if self.has_foreign_writers && self.folder(state, host).at_path.is_some() {
                    steps.push(Step::WriteForeign(host));
                }
                if self.loses_power() {
                    self.offer_power_cuts(state, host, steps);
                }
            }
        }
    }

    fn offer_faults_of_tasks(&self, state: &State, steps: &mut Vec<Step>) {
        let tasks = || (0..self.tasks).map(|index| (index, &state.tasks[usize::from(index)]));
        if tasks().any(|(_, task)| !matches!(task.intake, Intake::Answered | Intake::Gone)) {
            steps.push(Step::CrashApi);
        }
        for (index, task) in tasks() {
            if task.intake == Intake::Inserting {
                steps.push(Step::CrashApiInInsert(index));
                steps.extend([Fate::Committed, Fate::Late].map(|fate| Step::LoseInsertsAnswer(index, fate)));
            }
            if task.intake == Intake::Recorded {
                let lose = |has_arrived| Step::LoseConfirm { task: index, has_arrived };
                steps.extend([false, true].map(lose));
            }
            if task.messages > 0 {
                // A task claimed from its row while the queue is away is like one whose message was doubled.
                steps.push(Step::DoubleMessage(index));
                steps.extend(self.loses_messages.then_some(Step::LoseMessage(index)));
            }
        }
    }

    fn offer_faults_of_slot(&self, state: &State, index: WorkerIndex, steps: &mut Vec<Step>) {
        let worker = &state.workers[usize::from(index)];
        if !self.may_abandon(state, index) {
            return;
        }
        steps.push(Step::Crash(index));
        match worker.slot {
            Slot::Claiming(..) => {
                steps.push(Step::CrashInStatement(index, None));
                steps.extend([Fate::Committed, Fate::Late].map(|fate| Step::LoseClaimsAnswer(index, fate)));
            }
            Slot::Working(..) => {
                // A committed hand-back whose answer is lost is like one whose answer came: no process waits for it.
                for charge in [Charge::Try, Charge::Nothing] {
                    steps.push(Step::CrashInStatement(index, Some(charge)));
                    steps.push(Step::LeaveHandBack(index, Some(charge)));
                }
                steps.push(Step::LeaveHandBack(index, None));
                steps.push(Step::CrashInStatement(index, None));
                steps.extend([Fate::Committed, Fate::Late].map(|fate| Step::LoseEndsAnswer(index, fate)));
            }
            Slot::Ending(..) => steps.push(Step::CrashInStatement(index, None)),
            // With pauses, the statement has a step of its own.
            Slot::Hashing(..) if self.has_pause => {}
            Slot::Hashing(..) | Slot::EndingSmall(..) => {
                steps.push(Step::CrashInStatement(index, None));
                steps.extend([Fate::Committed, Fate::Late].map(|fate| Step::LoseEndsAnswer(index, fate)));
            }
            Slot::Free | Slot::Delivered(_) | Slot::Claimed(..) | Slot::Ended(_) => {}
        }
        if worker.lease == Some(Lease::Live) {
            steps.extend([Step::Freeze(index), Step::AbandonLease(index)]);
        }
    }

    /// Adds power cuts that lose something; without a loss it is as the end of a process. Two files lose text in two faults.
    fn offer_power_cuts(&self, state: &State, host: NameIndex, steps: &mut Vec<Step>) {
        for file in 0..FILES as FileIndex {
            let text = &self.folder(state, host).files[usize::from(file)];
            let pieces = text.pieces().count() as u8;
            for kept in text.flushed..pieces {
                let cuts = [None, Some(Cut::Early), Some(Cut::Late)];
                steps.extend(cuts.map(|then| Step::CrashHost { host, file, kept, then }));
            }
        }
    }

    fn offer_faults_of_logger(&self, state: &State, index: WorkerIndex, steps: &mut Vec<Step>) {
        let logger = state.workers[usize::from(index)].logger;
        if logger == Logger::Idle {
            return;
        }
        let with_process = self.parts == Parts::Both;
        steps.push(Step::FailLogStep(index));
        if matches!(logger, Logger::Beginning { .. } | Logger::Passing(_, Progress::ToCommit(..))) {
            steps.push(Step::FailLogStatement(index));
            if with_process {
                steps.push(Step::CrashInLogStatement(index));
            }
        }
        let Logger::Passing(_, Progress::ToAppend { text, .. }) = logger else { return };
        for (after, piece) in text.pieces().enumerate() {
            let cuts = match piece {
                Written::Newline => vec![None],
                Written::Rest(_) => vec![None, Some(Cut::Late)],
                Written::Line(_) => vec![None, Some(Cut::Early), Some(Cut::Late)],
            };
            for then in cuts {
                let cut = |dies| Step::CutAppend { worker: index, after: after as u8, then, dies };
                steps.push(cut(false));
                steps.extend(with_process.then(|| cut(true)));
            }
        }
        // All was written, and the process dies before it knows.
        let after = text.pieces().count() as u8;
        steps.push(Step::CutAppend { worker: index, after, then: None, dies: with_process });
    }

    pub(crate) fn apply_fault(&self, state: &mut State, step: Step) {
        match step {
            Step::CrashApi => state.crash_api(),
            Step::CrashApiInInsert(task) => {
                state.crash_api();
                state.leave(Late::Insert(task));
            }
            Step::LoseInsertsAnswer(task, fate) => {
                match fate {
                    Fate::Committed => self.insert(state, task),
                    Fate::Late => state.leave(Late::Insert(task)),
                }
                state.tasks[usize::from(task)].intake = Intake::Looking;
            }
            Step::LoseConfirm { task, has_arrived } => {
                if has_arrived {
                    self.queue_message(state, task);
                }
                // 202 all the same: the sweep publishes it.
                let task = &mut state.tasks[usize::from(task)];
                (task.first_publish, task.intake) = (Errand::Nothing, Intake::Answered);
            }
            Step::LoseMessage(task) => {
                state.tasks[usize::from(task)].messages -= 1;
                state.has_lost_messages = true;
            }
            Step::DoubleMessage(task) => self.queue_message(state, task),
            Step::WriteForeign(host) => {
                let folder = &mut state.folders[usize::from(host)];
                if let Some(file) = folder.at_path {
                    folder.files[usize::from(file)].tear(Torn::Foreign);
                }
            }
            Step::CrashHost { host, file, kept, then } => {
                state.folders[usize::from(host)].files[usize::from(file)].lose(kept, then);
                for index in 0..WORKERS as WorkerIndex {
                    if self.host_of(self.name_of(index)) == host {
                        state.workers[usize::from(index)].logger = Logger::Idle;
                    }
                }
            }
            Step::Freeze(worker) => state.workers[usize::from(worker)].lease = Some(Lease::Lapsed),
            // It registers again at once: without a lease it would claim nothing.
            Step::AbandonLease(worker) => {
                state.abandon_lease(worker);
                state.workers[usize::from(worker)].lease = Some(Lease::Live);
            }
            _ => self.apply_fault_of_statement(state, step),
        }
    }

    fn apply_fault_of_statement(&self, state: &mut State, step: Step) {
        match step {
            Step::Crash(index) => self.crash(state, index),
            Step::CrashInStatement(index, charge) => {
                let slot = state.workers[usize::from(index)].slot;
                if let Some(late) = statement(slot, charge) {
                    state.leave(late);
                }
                self.crash(state, index);
            }
            Step::LoseClaimsAnswer(index, fate) => {
                if let Slot::Claiming(task, lease) = state.workers[usize::from(index)].slot {
                    match fate {
                        Fate::Committed => {
                            self.claim(state, task, lease);
                        }
                        Fate::Late => state.leave(Late::Claim(task, lease)),
                    }
                    // `patiently`: it claims again.
                    state.workers[usize::from(index)].slot = Slot::Delivered(task);
                }
            }
            Step::LoseEndsAnswer(index, fate) => {
                if let Slot::Hashing(task, fence) | Slot::EndingSmall(task, fence) =
                    state.workers[usize::from(index)].slot
                {
                    // `patiently`: it ends it again. Its own end has passed the attempt that it has read.
                    match fate {
                        Fate::Committed => {
                            self.end_small(state, task, fence);
                        }
                        Fate::Late => state.leave(Late::EndSmall(task, fence)),
                    }
                    state.workers[usize::from(index)].slot.look_again();
                } else if let Some((task, fence)) = state.workers[usize::from(index)].slot.claim() {
                    match fate {
                        Fate::Committed => self.complete(state, task, fence),
                        Fate::Late => state.leave(Late::Complete(task, fence)),
                    }
                    state.workers[usize::from(index)].slot = Slot::Ending(task, fence);
                }
            }
            Step::LeaveHandBack(index, charge) => {
                if let Some((task, fence)) = state.workers[usize::from(index)].slot.claim() {
                    if let Some(charge) = charge {
                        state.leave(Late::HandBack(task, fence, charge));
                    }
                    // The next heartbeat sees it.
                    state.workers[usize::from(index)].slot = Slot::Free;
                }
            }
            Step::FailLogStep(index) => state.workers[usize::from(index)].logger = Logger::Idle,
            Step::FailLogStatement(index) | Step::CrashInLogStatement(index) => {
                if let Some(late) =
                    log_statement(self.name_of(index), state.workers[usize::from(index)].logger)
                {
                    state.leave(late);
                }
                state.workers[usize::from(index)].logger = Logger::Idle;
                if let Step::CrashInLogStatement(_) = step {
                    self.crash(state, index);
                }
            }
            Step::CutAppend { worker, after, then, dies } => {
                if let Logger::Passing(pass, Progress::ToAppend { text, .. }) =
                    state.workers[usize::from(worker)].logger
                {
                    let file = self.file_mut(state, self.name_of(worker), pass.head.file);
                    let mut pieces = text.pieces();
                    pieces.by_ref().take(usize::from(after)).for_each(|piece| file.write(piece));
                    if let (Some(Written::Line(task) | Written::Rest(task)), Some(cut)) =
                        (pieces.next(), then)
                    {
                        file.tear(match cut {
                            Cut::Early => Torn::OfAny,
                            Cut::Late => Torn::Of(task),
                        });
                    }
                    state.workers[usize::from(worker)].logger = Logger::Idle;
                    if dies {
                        self.crash(state, worker);
                    }
                }
            }
            _ => {}
        }
    }

    /// Ends the process and starts another in its place. Its deliveries come again, its lease stays until it lapses, its locks are
    /// released.
    fn crash(&self, state: &mut State, index: WorkerIndex) {
        state.abandon_lease(index);
        let slot = state.workers[usize::from(index)].slot;
        let is_unacknowledged = match slot {
            Slot::Hashing(..) | Slot::EndingSmall(..) | Slot::Ended(_) => self.has(Guard::AckAfterSmallEnd),
            _ => self.has(Guard::AckAfterClaim),
        };
        if let Some(task) = slot.delivery()
            && is_unacknowledged
        {
            self.queue_message(state, task);
        }
        state.workers[usize::from(index)] =
            Worker { lease: Some(Lease::Live), slot: Slot::Free, logger: Logger::Idle };
    }

    /// Returns whether there is a place for the lease that it leaves behind. There always is: there are as many places as faults.
    fn may_abandon(&self, state: &State, index: WorkerIndex) -> bool {
        let is_free = state.old_leases.iter().any(Option::is_none);
        is_free || state.workers[usize::from(index)].lease.is_none()
    }
}

/// Returns the statement that the slot has in progress.
fn statement(slot: Slot, charge: Option<Charge>) -> Option<Late> {
    match (slot, charge) {
        (Slot::Claiming(task, lease), _) => Some(Late::Claim(task, lease)),
        (Slot::Hashing(task, fence) | Slot::EndingSmall(task, fence), _) => Some(Late::EndSmall(task, fence)),
        (slot, None) => slot.claim().map(|(task, fence)| Late::Complete(task, fence)),
        (slot, Some(charge)) => slot.claim().map(|(task, fence)| Late::HandBack(task, fence, charge)),
    }
}

/// Returns the statement that the log step has in progress.
fn log_statement(name: NameIndex, logger: Logger) -> Option<Late> {
    match logger {
        Logger::Beginning { seen, head, .. } => Some(Late::StoreHead { name, seen, head }),
        Logger::Passing(pass, Progress::ToCommit(head, _)) => {
            Some(Late::StoreHead { name, seen: Some(pass.head), head })
        }
        Logger::Idle | Logger::Early(_) | Logger::Passing(..) => None,
    }
}

impl State {
    /// Ends all handlers of the API. Their batches may still complete: marks may come or not, as always.
    fn crash_api(&mut self) {
        for task in &mut self.tasks {
            if task.intake != Intake::Answered {
                task.intake = Intake::Gone;
                if let Errand::ToPublish(_) = task.first_publish {
                    task.first_publish = Errand::Nothing;
                }
            }
        }
    }

    fn leave(&mut self, late: Late) {
        if let Some(place) = self.late.iter_mut().find(|place| place.is_none()) {
            *place = Some(late);
        }
    }

    /// Gives up the process's lease; the row of the lease stays.
    fn abandon_lease(&mut self, index: WorkerIndex) {
        let Some(lease) = self.workers[usize::from(index)].lease else { return };
        if let Some(old) = self.old_leases.iter().position(Option::is_none) {
            self.old_leases[old] = Some(lease);
            self.rename_lease(LeaseName::Kept(index), LeaseName::Old(old as u8));
        }
    }
}
