//! Every state of the protocol, within bounds: the small spaces always, the larger ones where `COATCHECK_MODEL=whole`.

use std::time::Instant;

use model::properties::ALL_CAN_END;
use model::reach::explore;
use model::{Protocol, both, life, log};
use stateright::{Checker, Expectation, Model};

const SMALL: [Protocol; 5] = [life(1, 2), life(2, 0), log(1, 2, 2), log(2, 2, 2), both(0, 1)];
const LARGE: [Protocol; 3] = [life(2, 1), both(1, 1), both(2, 0)];

#[test]
fn every_promise_is_kept_in_every_state() {
    for model in SMALL {
        hold(model);
    }
}

#[test]
fn every_promise_is_kept_in_every_state_of_the_larger_spaces() {
    match std::env::var("COATCHECK_MODEL").as_deref() {
        Ok("whole") => LARGE.into_iter().for_each(hold),
        _ => println!("left out: COATCHECK_MODEL=whole looks at them too"),
    }
}

/// Looks at each state, and tells how many there were.
fn hold(model: Protocol) {
    let begun = Instant::now();

    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let space = explore(&model);

    assert_eq!(space.dead_end, None, "{ALL_CAN_END}: not after these steps");
    // Two explorers that share no code but the model's.
    assert_eq!((space.states, space.steps + 1), (checker.unique_state_count(), checker.state_count()));
    let always = |name: &Expectation| matches!(name, Expectation::Always);
    let held = model.properties().iter().filter(|property| always(&property.expectation)).count();
    println!(
        "{model}: {} states, {} steps between them, {} deep, {held} properties hold, no dead end ({:.0?})",
        space.states,
        space.steps,
        space.depth,
        begun.elapsed()
    );
}
