//! Every state of the protocol, within bounds: the small spaces always, the larger ones where `COATCHECK_MODEL=whole`.

use std::time::Instant;

use model::Logs::{OfTwoNames, OnTwoHosts};
use model::properties::ALL_CAN_END;
use model::reach::explore;
use model::{Protocol, both, feed, life, log, paused, two_logs};
use stateright::{Checker, Expectation, Model};

#[test]
fn a_tasks_life_with_two_faults_keeps_every_promise() {
    hold(life(1, 2));
}

#[test]
fn a_tasks_life_with_a_pause_and_a_fault_keeps_every_promise() {
    hold(paused(1, 1));
}

#[test]
fn two_tasks_lives_with_a_pause_keep_every_promise() {
    hold_if_wished(paused(2, 0));
}

#[test]
fn a_tasks_life_with_a_pause_and_two_faults_keeps_every_promise() {
    hold_if_wished(paused(1, 2));
}

#[test]
fn two_tasks_lives_keep_every_promise() {
    hold(life(2, 0));
}

#[test]
fn a_tasks_line_with_two_faults_keeps_every_promise() {
    hold(log(1, 2, 2));
}

#[test]
fn two_tasks_lines_with_two_faults_keep_every_promise() {
    hold(log(2, 2, 2));
}

#[test]
fn a_task_from_upload_to_line_keeps_every_promise() {
    hold(both(0, 1));
}

#[test]
fn three_tasks_outcomes_reach_a_reader_once() {
    hold(feed(3));
}

#[test]
fn two_tasks_lines_a_line_at_a_time_keep_every_promise() {
    hold(Protocol { page: 1, ..log(2, 1, 1) });
}

#[test]
fn two_tasks_lines_on_two_hosts_keep_every_promise() {
    hold(two_logs(OnTwoHosts, 2, 1, 1));
}

#[test]
fn two_tasks_lines_under_two_names_keep_every_promise() {
    hold(two_logs(OfTwoNames, 2, 1, 2));
}

#[test]
fn what_retention_deletes_is_in_each_log_and_a_reader_is_told() {
    hold(Protocol { prunes: true, ..feed(2) });
    hold(Protocol { prunes: true, has_foreign_writers: false, ..log(2, 1, 1) });
    hold(Protocol { prunes: true, ..two_logs(OnTwoHosts, 2, 1, 0) });
    hold(Protocol { prunes: true, ..two_logs(OfTwoNames, 2, 0, 1) });
}

#[test]
fn two_tasks_lives_with_a_fault_keep_every_promise() {
    hold_if_wished(life(2, 1));
}

#[test]
fn a_task_from_upload_to_line_with_a_fault_keeps_every_promise() {
    hold_if_wished(both(1, 1));
}

#[test]
fn a_task_from_upload_to_line_with_two_faults_keeps_every_promise() {
    hold_if_wished(both(2, 0));
}

#[test]
fn three_tasks_lines_with_two_faults_keep_every_promise() {
    hold_if_wished(log(3, 2, 2));
}

#[test]
fn two_tasks_lines_on_two_hosts_with_two_faults_keep_every_promise() {
    hold_if_wished(two_logs(OnTwoHosts, 2, 2, 1));
}

#[test]
fn what_retention_deletes_with_more_faults_is_in_each_log() {
    hold_if_wished(Protocol { prunes: true, has_foreign_writers: false, ..log(2, 2, 2) });
    hold_if_wished(Protocol { prunes: true, ..two_logs(OnTwoHosts, 2, 1, 1) });
    hold_if_wished(Protocol { prunes: true, ..two_logs(OfTwoNames, 2, 1, 2) });
}

#[test]
fn three_tasks_lines_under_two_names_keep_every_promise() {
    hold_if_wished(two_logs(OfTwoNames, 3, 1, 2));
}

#[test]
fn two_tasks_lines_under_two_names_with_two_faults_keep_every_promise() {
    hold_if_wished(two_logs(OfTwoNames, 2, 2, 2));
}

#[test]
fn two_tasks_lines_under_two_names_a_line_at_a_time_keep_every_promise() {
    hold_if_wished(Protocol { page: 1, ..two_logs(OfTwoNames, 2, 2, 2) });
}

#[test]
fn two_tasks_lines_under_two_names_beside_a_foreign_program_keep_every_promise() {
    hold_if_wished(Protocol { has_foreign_writers: true, ..two_logs(OfTwoNames, 2, 2, 2) });
}

fn hold_if_wished(model: Protocol) {
    match std::env::var("COATCHECK_MODEL").as_deref() {
        Ok("whole") => hold(model),
        _ => println!("{model}: left out, COATCHECK_MODEL=whole looks at it too"),
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
