//! Identifies states that differ only in names. Workers are alike, and so are abandoned leases, late statements, and tasks while no log
//! orders them: renaming all of one sort leads from each step of a state to a step of its twin. So one of each family of twins stands for
//! all. (A trace may therefore call a worker by the other's name from one step to the next.)

use std::cmp::Ordering;

use crate::guards::Guard;
use crate::late::Late;
use crate::state::{Errand, Fence, LeaseName, Slot, State, TaskIndex, Worker};
use crate::{Logs, Parts, Protocol};

impl Protocol {
    /// Returns the state that stands for this one.
    pub(crate) fn normal(&self, mut state: State) -> State {
        for old in 0..state.old_leases.len() {
            // No step reads it any more, and its end changes nothing.
            if state.old_leases[old].is_some() && !state.names(LeaseName::Old(old as u8)) {
                state.old_leases[old] = None;
            }
        }
        if self.has(Guard::FencedMark) && self.has(Guard::AttemptPerClaim) {
            for task in &mut state.tasks {
                // It will mark nothing: see `mark_published`.
                for errand in [&mut task.first_publish, &mut task.sweep_publish] {
                    if *errand == Errand::ToMark(Fence::Passed) {
                        *errand = Errand::Nothing;
                    }
                }
            }
        }
        if self.parts == Parts::Life {
            state.feed.split();
        }
        if !self.loses_power() || state.faults_left == 0 {
            // Nothing can be lost any more.
            state.folders.iter_mut().flat_map(|folder| &mut folder.files).for_each(|file| file.flushed = 0);
        }
        if self.logs != Logs::One {
            return state.least_by_logs(self.logs);
        }
        let mut least = state.least_by_workers();
        if self.tasks == 2 && self.parts == Parts::Life {
            state.swap_tasks();
            least = least.min(state.least_by_workers());
        }
        least
    }
}

impl Worker {
    /// Returns the parts of the task that another worker's could equal.
    fn without_names(&self) -> Self {
        let slot = match self.slot {
            Slot::Claiming(task, _) => Slot::Claiming(task, LeaseName::Ended),
            other => other,
        };
        Self { slot, ..*self }
    }
}

impl State {
    fn least_by_workers(mut self) -> Self {
        let [first, second] = self.workers.each_ref().map(Worker::without_names);
        match first.cmp(&second) {
            Ordering::Less => self.least_by_leases(),
            Ordering::Greater => {
                self.swap_workers();
                self.least_by_leases()
            }
            // Only the names that refer to them distinguish them.
            Ordering::Equal => {
                let mut twin = self;
                twin.swap_workers();
                self.least_by_leases().min(twin.least_by_leases())
            }
        }
    }

    /// As [`least_by_workers`](Self::least_by_workers), where each worker has a log of its own. Lives and leases are not part of these spaces.
    fn least_by_logs(mut self, logs: Logs) -> Self {
        let mut twin = self;
        twin.workers.swap(0, 1);
        twin.heads.swap(0, 1);
        if logs == Logs::OnTwoHosts {
            twin.folders.swap(0, 1);
        }
        for late in twin.late.iter_mut().flatten() {
            if let Late::StoreHead { name, .. } = late {
                *name = 1 - *name;
            }
        }
        self.late.sort_unstable();
        twin.late.sort_unstable();
        self.min(twin)
    }

    fn least_by_leases(self) -> Self {
        let sorted = |mut state: Self| {
            state.late.sort_unstable();
            state
        };
        if self.old_leases.iter().all(Option::is_none) {
            return sorted(self);
        }
        let mut twin = self;
        twin.old_leases.swap(0, 1);
        twin.map_leases(|name| match name {
            LeaseName::Old(old) => LeaseName::Old(1 - old),
            other => other,
        });
        sorted(self).min(sorted(twin))
    }

    fn swap_workers(&mut self) {
        self.workers.swap(0, 1);
        self.map_leases(|name| match name {
            LeaseName::Kept(worker) => LeaseName::Kept(1 - worker),
            other => other,
        });
    }

    fn swap_tasks(&mut self) {
        self.tasks.swap(0, 1);
        self.feed.swap_tasks();
        let swap = |task: &mut TaskIndex| *task = 1 - *task;
        for worker in &mut self.workers {
            match &mut worker.slot {
                Slot::Free => {}
                Slot::Delivered(task) | Slot::Claiming(task, _) | Slot::Ended(task) => swap(task),
                Slot::Claimed(task, _) | Slot::Working(task, _) => swap(task),
                Slot::Ending(task, _) | Slot::Hashing(task, _) | Slot::EndingSmall(task, _) => swap(task),
            }
        }
        for late in self.late.iter_mut().flatten() {
            match late {
                Late::Insert(task) | Late::Claim(task, _) => swap(task),
                Late::Complete(task, _) | Late::EndSmall(task, _) | Late::HandBack(task, ..) => swap(task),
                // Only spaces with a log have this.
                Late::StoreHead { .. } => {}
            }
        }
    }
}
