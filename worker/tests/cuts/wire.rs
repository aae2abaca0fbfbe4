//! The wire that all calls of one process go through: it counts them, and ends the process at one of them.
//!
//! A call is known by its method and how often that was called before, not by its place among all calls.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use test_kit::Effect;
use tokio::sync::watch;

/// One call to a port, or one write to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    /// 1 for the first call of the method.
    pub occurrence: usize,
    pub effect: Effect,
}

/// The part of a call that has happened when its process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Before,
    After,
    /// Nothing yet; the server executes it at that moment of a later process.
    Late(Moment),
    /// That many bytes of it.
    Torn(usize),
}

/// The moment at which a late call takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right after the next claim; without one, as `Rest`.
    Claimed,
    /// When nothing is left to do.
    Rest,
}

/// The point at which a process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub call: Call,
    pub phase: Phase,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { method, occurrence, .. } = self.call;
        match self.phase {
            Phase::Before => write!(f, "before {method} #{occurrence}"),
            Phase::After => write!(f, "after {method} #{occurrence}"),
            Phase::Late(Moment::Claimed) => write!(f, "{method} #{occurrence} late, upon a claim"),
            Phase::Late(Moment::Rest) => write!(f, "{method} #{occurrence} late, at rest"),
            Phase::Torn(bytes) => write!(f, "{bytes} bytes into {method} #{occurrence}"),
        }
    }
}

/// The lengths of a torn write that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tears {
    Each,
    /// The first byte, half, all but the newline, and all.
    Four,
}

impl Call {
    /// Returns the points at which a process can end in this call.
    pub fn cuts(&self, tears: Tears) -> Vec<Cut> {
        let phases = match self.effect {
            Effect::Nothing => vec![Phase::Before],
            Effect::Here => vec![Phase::Before, Phase::After],
            Effect::Afar => {
                vec![Phase::Before, Phase::After, Phase::Late(Moment::Claimed), Phase::Late(Moment::Rest)]
            }
            Effect::Bytes(length) if tears == Tears::Four => {
                [1, length / 2, length - 1, length].map(Phase::Torn).to_vec()
            }
            Effect::Bytes(length) => (1..=length).map(Phase::Torn).collect(),
        };
        phases.into_iter().map(|phase| Cut { call: self.clone(), phase }).collect()
    }
}

/// The fate of a call.
#[derive(Debug, Clone, Copy)]
pub enum When {
    Now,
    Late(Moment),
    /// That many bytes of it, now.
    Torn(usize),
}

pub struct Wire {
    cut: Option<Cut>,
    /// The thread of the process's runtime.
    main: ThreadId,
    state: Mutex<State>,
    changed: Condvar,
    crashed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    counts: HashMap<&'static str, usize>,
    is_dead: bool,
    is_idle: bool,
    /// Claims whose end was not requested yet.
    under_way: usize,
    remains: Vec<Box<dyn Any + Send>>,
}

impl Wire {
    /// Returns the wire of a process on the current thread.
    pub fn new(cut: Option<Cut>) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { cut, main: thread::current().id(), state, changed, crashed: watch::Sender::new(false) }
    }

    /// Makes a call, one at a time: `act` is its effect. `None` if the process has ended, so that its answer is lost.
    pub fn make<T: Send + 'static>(
        &self,
        method: &'static str,
        effect: Effect,
        act: impl FnOnce(When) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state();
        // The log's step has a thread of its own. It goes on while the others have nothing to do, so each run is like the
        // other.
        while !self.is_on_main() && !state.is_dead && (!state.is_idle || state.under_way > 0) {
            state = self.changed.wait(state).unwrap();
        }
        if state.is_dead {
            return None;
        }
        let count = state.counts.entry(method).or_default();
        *count += 1;
        let call = Call { method, occurrence: *count, effect };
        let phase = self.cut.as_ref().filter(|cut| cut.call == call).map(|cut| cut.phase);
        state.calls.push(call);
        let Some(phase) = phase else { return act(When::Now) };
        state.is_dead = true;
        let unheard = match phase {
            Phase::Before => None,
            Phase::After => act(When::Now),
            Phase::Late(moment) => act(When::Late(moment)),
            Phase::Torn(bytes) => act(When::Torn(bytes)),
        };
        state.remains.push(Box::new(unheard));
        self.changed.notify_all();
        self.crashed.send_replace(true);
        None
    }

    /// Returns whether this is the thread of the process's runtime. The log's step has its own.
    pub fn is_on_main(&self) -> bool {
        thread::current().id() == self.main
    }

    /// Ends a call whose answer is lost: on the main task it never returns; a thread gets `lost`, because only an answer ends it.
    pub async fn end<T>(&self, lost: impl FnOnce() -> T) -> T {
        if self.is_on_main() {
            std::future::pending::<()>().await;
        }
        lost()
    }

    /// Waits until the process has been cut.
    pub async fn crash(&self) {
        // The sender lives as long as this does.
        let _ = self.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    /// Notes whether the process's runtime has nothing to do.
    pub fn set_idle(&self, is_idle: bool) {
        self.state().is_idle = is_idle;
        self.changed.notify_all();
    }

    pub fn begin_work(&self, claims: usize) {
        self.state().under_way += claims;
    }

    pub fn end_work(&self, claims: usize) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(claims);
    }

    /// Keeps values from their destructors if the process has been killed, because none runs then.
    pub fn abandon(&self, remains: impl Any + Send) {
        let mut state = self.state();
        if state.is_dead {
            state.remains.push(Box::new(remains));
        }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn was_cut(&self) -> bool {
        self.state().is_dead
    }

    pub fn take_remains(&self) -> Vec<Box<dyn Any + Send>> {
        std::mem::take(&mut self.state().remains)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
