//! Ports with a wire to cut: each call to them is counted, and one of them fails.

mod ports;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use task_data::stack::Stack;
use tokio::sync::{Semaphore, watch};

use self::ports::{CutBlobs, CutNotify, CutQueue, CutStore};
pub use self::ports::{UNREADABLE, unreadable};

/// One call to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    /// 1 for the first call of the method.
    pub occurrence: usize,
    /// Whether it may have an effect.
    pub changes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of the call happens.
    Before,
    /// All of it happens, but the caller gets no answer.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The call fails and the next ones succeed.
    GoesOn,
    /// The process ends there.
    Crashes,
}

/// The call that fails, and the way it does.
#[derive(Debug, Clone)]
pub struct Cut {
    pub call: Call,
    pub phase: Phase,
    pub then: Then,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { method, occurrence, .. } = self.call;
        let phase = if self.phase == Phase::Before { "before" } else { "after" };
        let then = if self.then == Then::GoesOn { "failed" } else { "crash" };
        write!(f, "{then} {phase} the effect of {method} #{occurrence}")
    }
}

/// The wire that all calls of one process go through.
pub struct Wire {
    cut: Option<Cut>,
    held: Mutex<Option<(&'static str, Arc<Semaphore>)>>,
    state: Mutex<State>,
    under_way: watch::Sender<usize>,
    crashed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    counts: HashMap<&'static str, usize>,
    was_cut: bool,
    is_dead: bool,
    wrongs: Vec<String>,
}

enum Fate {
    Happens,
    Cut(Phase),
    /// The process has crashed.
    Never,
}

impl Wire {
    pub fn new(cut: Option<Cut>) -> Arc<Self> {
        let (under_way, crashed) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Self { cut, held: Mutex::default(), state: Mutex::default(), under_way, crashed })
    }

    /// Holds up the calls of a method; each permit lets one go on.
    pub fn hold(&self, method: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.held.lock().unwrap() = Some((method, gate.clone()));
        gate
    }

    /// Returns the ports, on this wire.
    pub fn through(self: &Arc<Self>, stack: &Stack) -> Stack {
        Stack {
            store: Arc::new(CutStore { wire: self.clone(), inner: stack.clone() }),
            queue: Arc::new(CutQueue { wire: self.clone(), inner: stack.clone() }),
            blobs: Arc::new(CutBlobs { wire: self.clone(), inner: stack.blobs.clone() }),
            notify: Arc::new(CutNotify { wire: self.clone(), inner: stack.notify.clone() }),
            limits: stack.limits.clone(),
        }
    }

    /// Waits until the process has crashed.
    pub async fn crash(&self) {
        // The sender lives as long as this does.
        let _ = self.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    /// Waits until no call is under way or about to be made.
    pub async fn quiet(&self) {
        let mut under_way = self.under_way.subscribe();
        loop {
            let _ = under_way.wait_for(|count| *count == 0).await;
            // What was told of the last answer goes on now: a few tasks that tell each other.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if *under_way.borrow_and_update() == 0 {
                return;
            }
        }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn was_cut(&self) -> bool {
        self.state().was_cut
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.state().wrongs.clone()
    }

    fn wrong(&self, what: String) {
        self.state().wrongs.push(what);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fate(&self, method: &'static str, changes: bool) -> Fate {
        let mut state = self.state();
        if state.is_dead {
            return Fate::Never;
        }
        let count = state.counts.entry(method).or_default();
        *count += 1;
        let call = Call { method, occurrence: *count, changes };
        let cut = self.cut.as_ref().filter(|cut| cut.call == call);
        state.calls.push(call);
        match cut {
            Some(cut) => {
                state.was_cut = true;
                state.is_dead = cut.then == Then::Crashes;
                Fate::Cut(cut.phase)
            }
            None => Fate::Happens,
        }
    }

    /// Makes a call; one that is cut gives `lost` as its answer.
    async fn call<T>(
        &self,
        method: &'static str,
        changes: bool,
        effect: impl Future<Output = T>,
        lost: impl Fn(Phase) -> T,
    ) -> T {
        let held = self.held.lock().unwrap().clone();
        if let Some((_, gate)) = held.filter(|(held, _)| *held == method) {
            gate.acquire().await.unwrap().forget();
        }
        let fate = self.fate(method, changes);
        self.under_way.send_modify(|count| *count += 1);
        let answer = match fate {
            Fate::Happens => effect.await,
            Fate::Cut(phase) => {
                if phase == Phase::After {
                    effect.await;
                }
                lost(phase)
            }
            Fate::Never => lost(Phase::Before),
        };
        self.under_way.send_modify(|count| *count -= 1);
        if self.state().is_dead {
            self.crashed.send_replace(true);
            // The log's step waits on a thread that nothing but an answer ends. All others never get one.
            if !THREADED.contains(&method) {
                std::future::pending::<()>().await;
            }
        }
        answer
    }
}

/// Methods that the log's step calls.
const THREADED: [&str; 8] = [
    "store.find",
    "store.log",
    "store.store_log",
    "store.number_outcomes",
    "store.outcomes",
    "store.those_after",
    "store.before_first",
    "blobs.delete",
];
