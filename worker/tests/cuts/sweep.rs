//! All runs: each point cut once, and pairs of points.

use std::fmt;

use crate::checks::{Form, Promise, Violation};
use crate::guards::Guard;
use crate::process::{Errand, live};
use crate::wire::{Call, Cut, Phase, Tears};
use crate::world::{Database, Databases, Keeps};

pub struct Sweep {
    form: Form,
    databases: Databases,
    removed: Option<Guard>,
    keeps: Keeps,
    rotates: bool,
}

/// The outcome of one run.
struct Run {
    /// The calls of its last process, which is not cut.
    calls: Vec<Call>,
    violations: Vec<Violation>,
}

impl Sweep {
    pub fn new(database: Database, form: Form) -> Self {
        Self { form, databases: Databases::of(database), removed: None, keeps: Keeps::All, rotates: false }
    }

    pub fn database(&self) -> Database {
        self.databases.database
    }

    /// Removes a guard of the protocol.
    pub fn without(self, guard: Guard) -> Self {
        Self { removed: Some(guard), ..self }
    }

    /// Lets retention delete what is not kept.
    pub fn keeping(self, keeps: Keeps) -> Self {
        Self { keeps, ..self }
    }

    /// Renames the log while no process lives.
    pub fn rotating_the_log(self) -> Self {
        Self { rotates: true, ..self }
    }

    /// Cuts the first process at each of its points.
    pub fn cut_once(&self, tears: Tears) -> Found {
        let mut found = Found::default();
        for first in points(&self.run(&[]), tears) {
            found.points += 1;
            found.add(vec![first], |cuts| self.run(cuts));
        }
        found
    }

    /// Cuts the first process at each of its points, and the second one at each of its own points then; or, with a stride above 1,
    /// at every `stride`-th of them.
    pub fn cut_twice(&self, stride: usize) -> Found {
        let mut found = Found::default();
        for (at, first) in points(&self.run(&[]), Tears::Four).into_iter().enumerate().step_by(stride) {
            found.points += 1;
            let seconds = points(&self.run(std::slice::from_ref(&first)), Tears::Four);
            for second in seconds.into_iter().skip(at / stride % stride).step_by(stride) {
                found.pairs += 1;
                found.add(vec![first.clone(), second], |cuts| self.run(cuts));
            }
        }
        found
    }

    /// Returns the methods that the last process calls, after one that was cut before its first call of `method`, if that is given.
    pub fn calls(&self, cut_before: Option<&str>) -> Vec<&'static str> {
        let is_it = |cut: &Cut| cut.phase == Phase::Before && cut.call.occurrence == 1;
        let cuts = points(&self.run(&[]), Tears::Four).into_iter();
        let cut = cuts.filter(is_it).find(|cut| Some(cut.call.method) == cut_before);
        let run = self.run(cut.as_slice());
        assert_eq!(run.violations, []);
        run.calls.into_iter().map(|call| call.method).collect()
    }

    /// Runs one process a cut, each of which ends there, and a last one that is not cut.
    fn run(&self, cuts: &[Cut]) -> Run {
        let world = self.databases.world(self.removed, self.keeps);
        let mut promise = Promise::new(self.form);
        let mut errand = Errand::Keep;
        for cut in cuts {
            let lived = live(&world, &mut promise, errand, Some(cut.clone()));
            assert!(lived.was_cut, "{cut} is no point of this run");
            promise.look(&world);
            world.let_time_pass(None);
            world.weaken_retention();
            if self.rotates {
                world.rotate_log();
            }
            errand = Errand::Recover;
        }
        let lived = live(&world, &mut promise, errand, None);
        let violations = promise.judge(&world, cuts.len());
        if !violations.is_empty() {
            self.databases.spoil();
        }
        Run { calls: lived.calls, violations }
    }
}

fn points(run: &Run, tears: Tears) -> Vec<Cut> {
    run.calls.iter().flat_map(|call| call.cuts(tears)).collect()
}

/// The outcome of many runs.
#[derive(Default)]
pub struct Found {
    /// The points at which the first process was cut.
    pub points: usize,
    /// The pairs of points at which the first two processes were cut.
    pub pairs: usize,
    pub runs: usize,
    pub violations: Vec<(Vec<Cut>, Vec<Violation>)>,
}

impl Found {
    fn add(&mut self, cuts: Vec<Cut>, run: impl FnOnce(&[Cut]) -> Run) {
        let violations = run(&cuts).violations;
        self.runs += 1;
        if !violations.is_empty() {
            self.violations.push((cuts, violations));
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, pairs, runs, violations } = self;
        write!(f, "{points} points, {pairs} pairs, {runs} runs, {} violate", violations.len())?;
        for (cuts, violations) in violations.iter().take(20) {
            let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
            write!(f, "\n  cut {}: {violations:?}", cuts.join(", then "))?;
        }
        Ok(())
    }
}
