//! The statements, each one transaction: how `task-data/src/store` changes rows, and when it does not. Each that ends tasks also inserts
//! their row of the [`feed`].

mod feed;

use crate::guards::Guard;
use crate::late::{Charge, Late};
use crate::sets::TaskSet;
use crate::state::{
    Errand, Fence, Lease, LeaseName, Pause, Row, Slot, State, Status, TASKS, TaskIndex, WORKERS, WorkerIndex,
};
use crate::{MAX_ATTEMPTS, Protocol};

impl Protocol {
    /// Inserts a row: `Tasks::insert`. An existing row is left alone.
    pub(crate) fn insert(&self, state: &mut State, task: TaskIndex) {
        state.tasks[usize::from(task)].row.get_or_insert(Row::NEW);
    }

    /// Claims a task after the lease was checked: `tasks::claim`. The row is checked again under its lock. Returns whether it was claimed.
    pub(crate) fn claim(&self, state: &mut State, task: TaskIndex, lease: LeaseName) -> bool {
        let Some(row) = state.tasks[usize::from(task)].row.as_mut() else { return false };
        if !self.is_claimable(row) || row.cancel_requested {
            return false;
        }
        row.status = Status::Running;
        row.holder = Some(lease);
        row.published = false;
        state.pass_fences(task);
        true
    }

    /// Pauses the tasks' kind: the function `set_pause`. Its lock waits for the statements that have seen no pause yet.
    pub(crate) fn may_pause(&self, state: &State) -> bool {
        let holds_lock = |slot: Slot| match slot {
            Slot::Claiming(..) => self.has(Guard::ClaimUnderPauseLock),
            Slot::EndingSmall(..) => self.has(Guard::SmallEndUnderPauseLock),
            _ => false,
        };
        state.pause == Pause::Possible && !state.workers.iter().any(|worker| holds_lock(worker.slot))
    }

    /// Returns whether a pause refuses a claim that looks now.
    pub(crate) fn refuses_claims(&self, state: &State) -> bool {
        state.pause == Pause::On && self.has(Guard::ClaimLooksAtPause)
    }

    /// Returns whether a pause refuses an end of small work that looks now.
    pub(crate) fn refuses_small_ends(&self, state: &State) -> bool {
        state.pause == Pause::On && self.has(Guard::SmallEndLooksAtPause)
    }

    pub(crate) fn is_claimable(&self, row: &Row) -> bool {
        row.status == Status::Pending || !self.has(Guard::ClaimOfPending)
    }

    /// Returns whether the named attempt is the row's.
    fn is_attempt(&self, fence: Fence) -> bool {
        fence == Fence::Current || !self.has(Guard::AttemptPerClaim)
    }

    /// Ends a task: `Tasks::complete`. A failure ends it in the same way, with another status.
    pub(crate) fn complete(&self, state: &mut State, task: TaskIndex, fence: Fence) {
        self.complete_all(state, [task].into_iter().collect(), fence);
    }

    /// Ends tasks that one statement names: `Tasks::complete`, for a batch.
    pub(crate) fn complete_all(&self, state: &mut State, tasks: TaskSet, fence: Fence) {
        let is_named = self.is_attempt(fence) || !self.has(Guard::EndNamesAttempt);
        let any_status = !self.has(Guard::EndOfRunning);
        let mut ended = TaskSet::default();
        for task in tasks.iter() {
            if let Some(row) = state.tasks[usize::from(task)].row.as_mut()
                && is_named
                && (row.status == Status::Running || any_status)
            {
                row.end(Status::Succeeded);
                ended.insert(task);
            }
        }
        let fed = if self.has(Guard::FeedOfEnded) { ended } else { tasks };
        self.feed(state, fed, Guard::FeedWithEnd);
    }

    /// Ends small work without a claim, and counts the attempt: `UPDATE tasks SET status, result, attempt = attempt + 1 WHERE id = … AND
    /// attempt = … AND status = 'pending' AND NOT cancel_requested`. Returns whether it has ended the task.
    pub(crate) fn end_small(&self, state: &mut State, task: TaskIndex, fence: Fence) -> bool {
        let is_named = self.is_attempt(fence) || !self.has(Guard::SmallEndNamesAttempt);
        let any_status = !self.has(Guard::SmallEndOfPending);
        let Some(row) = state.tasks[usize::from(task)].row.as_mut() else { return false };
        if !is_named || row.cancel_requested || !(row.status == Status::Pending || any_status) {
            return false;
        }
        row.end(Status::Succeeded);
        state.pass_fences(task);
        self.feed(state, [task].into_iter().collect(), Guard::FeedWithSmallEnd);
        true
    }

    /// Hands a task back: `Tasks::hand_back`.
    pub(crate) fn hand_back(&self, state: &mut State, task: TaskIndex, fence: Fence, charge: Charge) {
        let unfenced = !self.has(Guard::FencedHandBack);
        if let Some(row) = state.tasks[usize::from(task)].row.as_mut()
            && (unfenced || self.is_attempt(fence) && row.status == Status::Running)
            && self.move_on(row, charge)
        {
            self.feed(state, [task].into_iter().collect(), Guard::FeedWithHandBack);
        }
    }

    /// Moves a row on: `RunningRow::next` and `move_on`. Returns whether it has ended the task.
    fn move_on(&self, row: &mut Row, charge: Charge) -> bool {
        row.tries += u8::from(charge == Charge::Try);
        if row.cancel_requested && self.has(Guard::CancelAtHandBack) {
            row.end(Status::Cancelled);
        } else if charge == Charge::Try && row.tries >= MAX_ATTEMPTS && self.has(Guard::BoundedTries) {
            row.end(Status::Failed);
        } else {
            // Counts beyond the limit would show nothing new.
            row.tries = row.tries.min(MAX_ATTEMPTS);
            row.status = Status::Pending;
            row.holder = None;
            row.published = false;
        }
        row.status.is_ended()
    }

    /// Cancels a task: `Tasks::cancel`.
    pub(crate) fn cancel(&self, state: &mut State, task: TaskIndex) {
        let Some(row) = state.tasks[usize::from(task)].row.as_mut() else { return };
        match row.status {
            Status::Running => {
                row.cancel_requested = true;
                return;
            }
            Status::Pending => row.end(Status::Cancelled),
            _ if !self.has(Guard::CancelBeforeEnd) => row.end(Status::Cancelled),
            _ => return,
        }
        self.feed(state, [task].into_iter().collect(), Guard::FeedWithCancel);
    }

    /// Marks a ticket as published: `Tasks::mark_published`.
    pub(crate) fn mark_published(&self, state: &mut State, task: TaskIndex, fence: Fence) {
        let is_named = self.is_attempt(fence) || !self.has(Guard::FencedMark);
        if let Some(row) = state.tasks[usize::from(task)].row.as_mut()
            && is_named
            && row.status == Status::Pending
        {
            row.published = true;
        }
    }

    /// Ends lapsed leases, then returns each running row without one: `Leases::return_lost`. It is one step here: a claim between the two
    /// statements has the same effect as one before or after them.
    pub(crate) fn return_lost(&self, state: &mut State) {
        let ends_all = !self.has(Guard::SweepOfLapsed);
        let lost_before: TaskSet = state.lost().collect();
        for worker in 0..WORKERS as WorkerIndex {
            let lease = &mut state.workers[usize::from(worker)].lease;
            if *lease == Some(Lease::Lapsed) || ends_all && lease.is_some() {
                *lease = None;
                state.rename_lease(LeaseName::Kept(worker), LeaseName::Ended);
            }
        }
        for old in 0..state.old_leases.len() {
            if state.old_leases[old] == Some(Lease::Lapsed) {
                state.old_leases[old] = None;
                state.rename_lease(LeaseName::Old(old as u8), LeaseName::Ended);
            }
        }
        let lost: TaskSet = state.lost().collect();
        let taken = if self.has(Guard::SweepOfAllLost) { lost } else { lost.without(lost_before) };
        let mut ended = TaskSet::default();
        for index in taken.iter() {
            let task = &mut state.tasks[usize::from(index)];
            if let Some(row) = task.row.as_mut() {
                if self.move_on(row, Charge::Try) {
                    ended.insert(index);
                }
                task.history.losses = (task.history.losses + 1).min(MAX_ATTEMPTS + 1);
            }
        }
        self.feed(state, ended, Guard::FeedWithSweep);
    }

    /// Commits a statement of a process that is gone.
    pub(crate) fn commit_late(&self, state: &mut State, late: Late) {
        match late {
            Late::Insert(task) => self.insert(state, task),
            // A statement that is in the server holds its lock, and a pause waits for it: it is committed before, or never. Another one
            // arrives later, and looks then.
            Late::Claim(..) if self.has(Guard::ClaimUnderPauseLock) && self.refuses_claims(state) => {}
            Late::Claim(task, lease) => {
                self.claim(state, task, lease);
            }
            Late::Complete(task, fence) => self.complete(state, task, fence),
            Late::EndSmall(..)
                if self.has(Guard::SmallEndUnderPauseLock) && self.refuses_small_ends(state) => {}
            Late::EndSmall(task, fence) => {
                self.end_small(state, task, fence);
            }
            Late::HandBack(task, fence, charge) => self.hand_back(state, task, fence, charge),
            Late::StoreHead { name, seen, head } => {
                self.store_head(state, name, seen, head);
            }
        }
    }
}

impl Row {
    /// Ends the task, and clears columns that are not read any more.
    pub(crate) fn end(&mut self, status: Status) {
        *self = Self { status, tries: self.tries, ..Self::NEW };
    }
}

impl State {
    /// Returns the task's row, if it has one.
    pub(crate) fn row(&self, task: TaskIndex) -> Option<Row> {
        self.tasks[usize::from(task)].row
    }

    /// Returns the running rows without a lease: `tasks::lost`.
    pub(crate) fn lost(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        let is_lost = |row: Row| row.status == Status::Running && row.holder == Some(LeaseName::Ended);
        (0..TASKS as TaskIndex).filter(move |task| self.row(*task).is_some_and(is_lost))
    }

    /// Invalidates all names of earlier attempts, after the row's attempt has grown: none will equal it again.
    fn pass_fences(&mut self, of: TaskIndex) {
        let task = &mut self.tasks[usize::from(of)];
        for errand in [&mut task.first_publish, &mut task.sweep_publish] {
            if let Errand::ToPublish(fence) | Errand::ToMark(fence) = errand {
                *fence = Fence::Passed;
            }
        }
        for worker in &mut self.workers {
            match &mut worker.slot {
                Slot::Claimed(task, fence)
                | Slot::Working(task, fence)
                | Slot::Ending(task, fence)
                | Slot::Hashing(task, fence)
                | Slot::EndingSmall(task, fence)
                    if *task == of =>
                {
                    *fence = Fence::Passed;
                }
                _ => {}
            }
        }
        for late in self.late.iter_mut().flatten() {
            if let Late::Complete(task, fence) | Late::EndSmall(task, fence) | Late::HandBack(task, fence, _) =
                late
                && *task == of
            {
                *fence = Fence::Passed;
            }
        }
    }

    /// Renames a lease in everything that names it.
    pub(crate) fn rename_lease(&mut self, from: LeaseName, to: LeaseName) {
        self.map_leases(|name| if name == from { to } else { name });
    }

    /// Maps each name of a lease in the state.
    pub(crate) fn map_leases(&mut self, map: impl Fn(LeaseName) -> LeaseName) {
        for row in self.tasks.iter_mut().filter_map(|task| task.row.as_mut()) {
            row.holder = row.holder.map(&map);
        }
        for worker in &mut self.workers {
            if let Slot::Claiming(_, lease) = &mut worker.slot {
                *lease = map(*lease);
            }
        }
        for late in self.late.iter_mut().flatten() {
            if let Late::Claim(_, lease) = late {
                *lease = map(*lease);
            }
        }
    }

    /// Returns whether anything names this lease.
    pub(crate) fn names(&self, lease: LeaseName) -> bool {
        self.tasks.iter().any(|task| task.row.is_some_and(|row| row.holder == Some(lease)))
            || self
                .workers
                .iter()
                .any(|worker| matches!(worker.slot, Slot::Claiming(_, name) if name == lease))
            || self.late.iter().flatten().any(|late| matches!(late, Late::Claim(_, name) if *name == lease))
    }
}
