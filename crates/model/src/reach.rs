//! Checks whether from each state everything can still end well.
//!
//! The checker's own `eventually` does not see a path that leads back into itself, and here most do: a task may be given up and
//! claimed again for ever. The check here is stronger than "some path ends well" and weaker than fairness: from
//! *every* reachable state, faults included, steps of the program alone (no fault, no client's, no late statement's) can
//! lead to a state in which all promises are kept. So nothing is ever stuck, and nothing waits for luck.
//!
//! All states are explored, breadth first, and from the good ones all steps are followed backwards.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use stateright::Model;

use crate::Protocol;
use crate::state::State;
use crate::steps::{Cause, Step};

/// All states of a model.
pub struct Space {
    /// The number of states.
    pub states: usize,
    /// The number of steps between them.
    pub steps: usize,
    /// The number of steps from the first state to the farthest.
    pub depth: usize,
    /// Steps to a state from which not everything can end, if there is one.
    pub dead_end: Option<Vec<Step>>,
}

/// A state that was found.
struct Known {
    hash: u64,
    /// The state before it, except for the first one.
    parent: Option<u32>,
}

/// Explores a model. A state is known by 64 bits of its hash, as in the checker: the chance that two of 10 million are taken for one is 1
/// in 300,000.
pub fn explore(model: &Protocol) -> Space {
    let mut index_of: HashMap<u64, u32, BuildHasherDefault<Identity>> = HashMap::default();
    let mut known: Vec<Known> = Vec::new();
    // Steps of the program, from the state after to the state before.
    let mut back: Vec<(u32, u32)> = Vec::new();
    let mut good: Vec<u32> = Vec::new();
    let (mut steps, mut depth) = (0, 0);

    let mut layer: Vec<(u32, State)> = Vec::new();
    for state in model.init_states() {
        index_of.insert(hash_of(&state), known.len() as u32);
        layer.push((known.len() as u32, state));
        known.push(Known { hash: hash_of(&state), parent: None });
    }
    let mut possible = Vec::new();
    while !layer.is_empty() {
        let mut next_layer = Vec::new();
        for (from, state) in layer {
            if model.are_all_kept(&state) {
                good.push(from);
            }
            model.actions(&state, &mut possible);
            for step in possible.drain(..) {
                let Some(next) = model.next_state(&state, step) else { continue };
                steps += 1;
                let hash = hash_of(&next);
                let to = *index_of.entry(hash).or_insert_with(|| {
                    let to = known.len() as u32;
                    known.push(Known { hash, parent: Some(from) });
                    next_layer.push((to, next));
                    to
                });
                if step.cause() == Cause::Program {
                    back.push((to, from));
                }
            }
        }
        depth += usize::from(!next_layer.is_empty());
        layer = next_layer;
    }
    drop(index_of);

    let can_end = backwards(known.len(), back, good);
    let dead_end = can_end.iter().position(|can_end| !can_end).map(|index| path_to(model, &known, index));
    Space { states: known.len(), steps, depth, dead_end }
}

/// Returns for each state whether it leads to a good one.
fn backwards(states: usize, mut back: Vec<(u32, u32)>, good: Vec<u32>) -> Vec<bool> {
    back.sort_unstable();
    let mut leads = vec![false; states];
    let mut to_follow = good;
    to_follow.iter().for_each(|index| leads[*index as usize] = true);
    while let Some(index) = to_follow.pop() {
        let from = back.partition_point(|(to, _)| *to < index);
        for (_, before) in back[from..].iter().take_while(|(to, _)| *to == index) {
            if !std::mem::replace(&mut leads[*before as usize], true) {
                to_follow.push(*before);
            }
        }
    }
    leads
}

/// Returns the steps by which a state was found. The states themselves are not kept, and are built again.
fn path_to(model: &Protocol, known: &[Known], to: usize) -> Vec<Step> {
    let mut way = Vec::new();
    let mut at = &known[to];
    while let Some(parent) = at.parent {
        way.push(at.hash);
        at = &known[parent as usize];
    }
    let mut path = Vec::new();
    let Some(mut state) = model.init_states().into_iter().next() else { return path };
    for hash in way.into_iter().rev() {
        let found = model.next_steps(&state).into_iter().find(|(_, next)| hash_of(next) == hash);
        let Some((step, next)) = found else { break };
        path.push(step);
        state = next;
    }
    path
}

fn hash_of(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A hasher for keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
