//! The steps that can happen next; each names the function of the program that it stands for.
//!
//! A step is one event that others can see: a transaction, a message, a piece of a file. A process's work between two events is part of the
//! next one, because a crash in between leaves the same state. So these are one step each, without losing anything: publishing and
//! answering; a claim that got nothing and its acknowledgement (a crash between brings the message again, as a crash before the claim
//! does); work and the sending of its end; a lost lease and the next one (without a lease a process claims nothing); reading the log's head
//! and locking the log (a rotation or a commit in between is as one before or after).

mod claim;
mod faults;
mod feed;
mod intake;
mod log;
mod pause;
mod sweep;

use crate::files::FileIndex;
use crate::late::{Charge, Fate};
use crate::logger::NameIndex;
use crate::sets::TaskSet;
use crate::state::{State, TaskIndex, WorkerIndex};
use crate::{Parts, Protocol};

/// A step of any participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    // The API and its client.
    Insert(TaskIndex),
    LookFor(TaskIndex),
    GiveUpLooking(TaskIndex),
    Publish(TaskIndex),
    MarkPublished(TaskIndex),
    ForgetMark(TaskIndex),
    Cancel(TaskIndex),

    // A worker's slot and its lease.
    Take(WorkerIndex, TaskIndex),
    LookAtLease(WorkerIndex),
    Claim(WorkerIndex),
    ReadSmall(WorkerIndex),
    /// The end of small work begins: it takes the lock that pauses wait for, and looks for a pause.
    LookAtPause(WorkerIndex),
    EndSmall(WorkerIndex),
    Acknowledge(WorkerIndex),
    Complete(WorkerIndex),
    HandBack(WorkerIndex, Charge),
    Beat(WorkerIndex),
    ReturnUnheld(WorkerIndex, TaskIndex),
    LapseOld(u8),

    // The sweep of any worker.
    ReturnLost,
    PublishDue(TaskIndex),
    MarkDue(TaskIndex),
    ForgetDue(TaskIndex),

    // An operator.
    Pause,
    Resume,

    // The feed.
    /// Tasks end by one statement, where the life of tasks is not part of the model.
    End(TaskSet),
    /// All rows are numbered at once.
    Number,
    BeginNumbering(u8),
    LockNumbers(u8),
    StoreNumbers(u8),
    RollBackNumbers(u8),
    Read,
    /// Retention deletes the oldest outcome that is kept, and its task.
    Prune,

    // A worker's log step.
    LockLog(WorkerIndex),
    Scan(WorkerIndex),
    ReadOutcomes(WorkerIndex),
    Append(WorkerIndex),
    Flush(WorkerIndex),
    CommitLog(WorkerIndex),
    BeginLog(WorkerIndex),
    Rotate(NameIndex),
    /// An operator deletes a rotated file that no log's head leads to any more.
    DeleteRotated(NameIndex),

    // Faults.
    CrashApi,
    CrashApiInInsert(TaskIndex),
    LoseInsertsAnswer(TaskIndex, Fate),
    /// The confirm of the API's publishing is lost; the message may have arrived.
    LoseConfirm {
        task: TaskIndex,
        has_arrived: bool,
    },
    LoseMessage(TaskIndex),
    DoubleMessage(TaskIndex),
    Crash(WorkerIndex),
    /// A worker dies while its slot's statement is in progress; the charge says which one, if there is a choice.
    CrashInStatement(WorkerIndex, Option<Charge>),
    CrashInLogStatement(WorkerIndex),
    LoseClaimsAnswer(WorkerIndex, Fate),
    LoseEndsAnswer(WorkerIndex, Fate),
    /// A hand-back fails, and is committed late or never.
    LeaveHandBack(WorkerIndex, Option<Charge>),
    /// A worker freezes until its lease has lapsed.
    Freeze(WorkerIndex),
    /// A worker can't reach the database until its own clock says that its lease may have lapsed.
    AbandonLease(WorkerIndex),
    /// A log step fails, by an error of the store or of the disk.
    FailLogStep(WorkerIndex),
    FailLogStatement(WorkerIndex),
    /// The write of a log step is cut after that many pieces, with the beginning of the next piece if there is one.
    CutAppend {
        worker: WorkerIndex,
        after: u8,
        then: Option<Cut>,
        dies: bool,
    },
    /// Another program writes half a line without the lock.
    WriteForeign(NameIndex),
    /// A host loses its power; what one file had beyond its last flush is lost, but for so many pieces and the beginning of the next.
    CrashHost {
        host: NameIndex,
        file: FileIndex,
        kept: u8,
        then: Option<Cut>,
    },

    // Statements of dead processes.
    CommitLate(u8),
}

/// How much of a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// So little that it may be any line's beginning.
    Early,
    /// Enough to show whose line it is.
    Late,
}

/// The cause of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The program: the step will happen if it stays possible.
    Program,
    /// A client, an operator, an old statement: the step may happen, and nothing may depend on it.
    Chance,
    /// A fault, of which there is a limited number.
    Fault,
}

impl Step {
    pub const fn cause(self) -> Cause {
        match self {
            Self::Insert(_)
            | Self::LookFor(_)
            | Self::GiveUpLooking(_)
            | Self::Publish(_)
            | Self::MarkPublished(_)
            | Self::Take(..)
            | Self::LookAtLease(_)
            | Self::Claim(_)
            | Self::ReadSmall(_)
            | Self::LookAtPause(_)
            | Self::EndSmall(_)
            // A pause is not for ever.
            | Self::Resume
            | Self::Acknowledge(_)
            | Self::Complete(_)
            | Self::HandBack(..)
            | Self::Beat(_)
            | Self::ReturnUnheld(..)
            | Self::LapseOld(_)
            | Self::ReturnLost
            | Self::PublishDue(_)
            | Self::MarkDue(_)
            | Self::LockLog(_)
            | Self::Scan(_)
            | Self::ReadOutcomes(_)
            | Self::Append(_)
            | Self::Flush(_)
            | Self::Number
            | Self::BeginNumbering(_)
            | Self::LockNumbers(_)
            | Self::StoreNumbers(_)
            | Self::Read
            | Self::CommitLog(_)
            | Self::BeginLog(_)
            | Self::End(_) => Cause::Program,
            Self::ForgetMark(_)
            | Self::ForgetDue(_)
            | Self::Cancel(_)
            | Self::Prune
            | Self::Pause
            | Self::Rotate(_)
            | Self::DeleteRotated(_)
            | Self::RollBackNumbers(_)
            | Self::CommitLate(_) => Cause::Chance,
            Self::CrashApi
            | Self::CrashApiInInsert(_)
            | Self::LoseInsertsAnswer(..)
            | Self::LoseConfirm { .. }
            | Self::LoseMessage(_)
            | Self::DoubleMessage(_)
            | Self::Crash(_)
            | Self::CrashInStatement(..)
            | Self::CrashInLogStatement(_)
            | Self::LoseClaimsAnswer(..)
            | Self::LoseEndsAnswer(..)
            | Self::LeaveHandBack(..)
            | Self::Freeze(_)
            | Self::AbandonLease(_)
            | Self::FailLogStep(_)
            | Self::FailLogStatement(_)
            | Self::CutAppend { .. }
            | Self::WriteForeign(_)
            | Self::CrashHost { .. } => Cause::Fault,
        }
    }
}

impl Protocol {
    /// Adds all steps that can happen now.
    pub(crate) fn offer(&self, state: &State, steps: &mut Vec<Step>) {
        match self.has_life() {
            true => {
                self.offer_intake(state, steps);
                self.offer_claim(state, steps);
                self.offer_sweep(state, steps);
                self.offer_pause(state, steps);
            }
            false => self.offer_ends(state, steps),
        }
        if self.has_log() {
            self.offer_log(state, steps);
        }
        if self.parts == Parts::Feed {
            self.offer_feed(state, steps);
        }
        if self.prunes && self.next_to_prune(state).is_some() {
            steps.push(Step::Prune);
        }
        if state.faults_left > 0 {
            self.offer_faults(state, steps);
        }
        let late = (0..state.late.len()).filter(|at| state.late[*at].is_some());
        steps.extend(late.map(|at| Step::CommitLate(at as u8)));
    }

    /// Performs the step.
    pub(crate) fn apply(&self, state: &mut State, step: Step) {
        if step.cause() == Cause::Fault {
            state.faults_left -= 1;
            return self.apply_fault(state, step);
        }
        match step {
            Step::CommitLate(at) => {
                if let Some(late) = state.late[usize::from(at)].take() {
                    self.commit_late(state, late);
                }
            }
            _ => {
                self.apply_intake(state, step);
                self.apply_claim(state, step);
                self.apply_sweep(state, step);
                self.apply_pause(state, step);
                self.apply_feed(state, step);
                self.apply_log(state, step);
            }
        }
    }
}
