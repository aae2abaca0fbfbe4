//! The life of a promise, with each call to a port cut once: before its effect, after its effect, and with all that
//! would have come after it.
//!
//! The calls are not listed here: one run of the scenario counts them, so a new call is cut from the day it is made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod again;
mod cut;
mod promises;
mod scenario;
mod world;

use cut::{Call, Cut, Phase, Then, Wire};
use scenario::Ledger;
use test_kit::DEADLINE;
use tokio::runtime::{Builder, Runtime};
use world::World;

#[test]
fn without_a_cut_all_goes_well() {
    run(None).unwrap();
}

#[test]
fn a_call_that_never_happened_breaks_no_promise() {
    cut_each_call(Phase::Before, Then::GoesOn);
}

#[test]
fn a_call_whose_answer_was_lost_breaks_no_promise() {
    cut_each_call(Phase::After, Then::GoesOn);
}

#[test]
fn a_crash_before_a_call_breaks_no_promise() {
    cut_each_call(Phase::Before, Then::Crashes);
}

#[test]
fn a_crash_after_a_call_breaks_no_promise() {
    cut_each_call(Phase::After, Then::Crashes);
}

/// The number of failures after which no further cut is tried.
const ENOUGH: usize = 3;

/// Runs the scenario once for each call that it makes, and reports the first failures together.
fn cut_each_call(phase: Phase, then: Then) {
    let calls = run(None).unwrap();
    let cuts: Vec<Cut> = calls
        .into_iter()
        // After a read nothing has happened that had not before it.
        .filter(|call| phase == Phase::Before || call.changes)
        // Made a while later, and by then for less or for nothing. The worker's cut sweep, whose clock waits for it, cuts it.
        .filter(|call| call.method != "store.mark_published")
        // A sweep looks into all 256 shards; one look is like the other.
        .filter(|call| call.method != "blobs.kept_before" || call.occurrence == 1)
        .map(|call| Cut { call, phase, then })
        .collect();
    assert!(cuts.len() > 30, "the scenario makes {} calls to cut", cuts.len());

    let failures: Vec<String> = cuts
        .iter()
        .filter_map(|cut| run(Some(cut.clone())).err().map(|wrong| format!("{cut}: {wrong}")))
        .take(ENOUGH)
        .collect();

    assert!(failures.is_empty(), "cuts that broke a promise:\n{}", failures.join("\n"));
}

/// Plays the scenario with the cut, lets time and sweeps do their work, and returns the calls that the scenario made.
fn run(cut: Option<Cut>) -> Result<Vec<Call>, String> {
    let world = World::new();
    let mut ledger = Ledger::default();
    let wire = Wire::new(cut.clone());
    let mut calls = Vec::new();
    let crashes = cut.as_ref().is_some_and(|cut| cut.then == Then::Crashes);

    on_a_runtime(async {
        let process = world.start(wire.clone());
        tokio::select! {
            biased;
            () = wire.crash() => {}
            () = scenario::play(&process, &world, &mut ledger) => {}
        }
        calls = wire.calls();
        if !crashes {
            scenario::recover(&process, &world, &mut ledger).await?;
        }
        Ok(())
    })?;
    // The runtime is gone and with it all that the process was about to do: it was killed.
    if crashes {
        on_a_runtime(async {
            let process = world.start(Wire::new(None));
            process.life.begin_alone().await.map_err(|error| error.to_string())?;
            scenario::recover(&process, &world, &mut ledger).await
        })?;
    }

    if cut.is_some() && !wire.was_cut() {
        return Err("this call was not made".to_owned());
    }
    ledger.take_wrongs(wire.wrongs());
    on_a_runtime(ledger.audit(&world))?;
    Ok(calls)
}

/// Runs `work` on a runtime of its own, up to a deadline.
fn on_a_runtime(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let late = |_| Err(format!("not at an end after {:?}", DEADLINE));
    runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(late) })
}
