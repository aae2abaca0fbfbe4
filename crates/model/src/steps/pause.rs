//! An operator pauses the tasks' kind, once, and resumes it: `Life::pause` and `Life::resume`.
//!
//! A pause is one statement: it waits for the statements that have seen no pause, and is answered once it is committed.

use super::Step;
use crate::Protocol;
use crate::state::{Pause, State};

impl Protocol {
    pub(crate) fn offer_pause(&self, state: &State, steps: &mut Vec<Step>) {
        if self.may_pause(state) {
            steps.push(Step::Pause);
        }
        if state.pause == Pause::On {
            steps.push(Step::Resume);
        }
    }

    pub(crate) fn apply_pause(&self, state: &mut State, step: Step) {
        match step {
            Step::Pause => state.pause = Pause::On,
            Step::Resume => state.pause = Pause::Over,
            _ => {}
        }
    }
}
