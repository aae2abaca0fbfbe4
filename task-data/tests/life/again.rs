//! A client that doesn't know whether its upload has arrived repeats it with the same key.

use bytes::Bytes;
use futures::future::join_all;
use task_data::error::Refusal;
use task_data::idempotency::IdempotencyKey;
use task_data::life::Accepted;

use crate::cut::{Call, Cut, Phase, Then, Wire};
use crate::on_a_runtime;
use crate::world::{Process, World, named};

const CONTENT: &[u8] = b"too large for a row";

async fn hand_in(process: &Process, content: &'static [u8]) -> Result<Accepted, Refusal> {
    hand_in_under(process, "one-key", content).await
}

async fn hand_in_under(process: &Process, key: &str, content: &'static [u8]) -> Result<Accepted, Refusal> {
    let key: IdempotencyKey = key.parse().unwrap();
    let mut intake = process.life.take_in(Some(key));
    for chunk in content.chunks(5) {
        intake.write(Bytes::from_static(chunk)).await?;
    }
    process.life.accept(intake, None, named("a").into()).await
}

/// Repeats an upload until it gets a ticket, with the cut in the first try. Returns the calls of that try.
fn insist(cut: Option<Cut>) -> Vec<Call> {
    let world = World::new();
    let wire = Wire::new(cut);
    let mut tickets = Vec::new();
    on_a_runtime(async {
        let process = world.start(wire.clone());
        tokio::select! {
            biased;
            () = wire.crash() => {}
            accepted = hand_in(&process, CONTENT) => tickets.extend(accepted.ok()),
        }
        Ok(())
    })
    .unwrap();

    // Another process, whether or not the first one lives on.
    on_a_runtime(async {
        let process = world.start(Wire::new(None));
        tickets.push(hand_in(&process, CONTENT).await.map_err(|error| error.to_string())?);
        let other = hand_in(&process, b"too LARGE for a row").await;
        assert!(matches!(other, Err(Refusal::KeyMismatch)), "{other:?}");
        process.wire.quiet().await;
        process.life.remove_orphans().await.map_err(|error| error.to_string())?;

        let tasks = world.tasks().await;
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        for Accepted { task, .. } in &tickets {
            assert_eq!(task.id, tasks[0].id);
        }
        assert_eq!(world.count_blobs(), 1);
        Ok(())
    })
    .unwrap();
    wire.calls()
}

#[test]
fn whatever_becomes_of_the_first_time_there_is_one_task_and_one_blob() {
    for call in insist(None) {
        for phase in [Phase::Before, Phase::After] {
            for then in [Then::GoesOn, Then::Crashes] {
                insist(Some(Cut { call: call.clone(), phase, then }));
            }
        }
    }
}

#[tokio::test]
async fn of_many_at_once_all_are_given_one_ticket_and_one_upload_stays() {
    let world = World::new();
    let processes = [world.start(Wire::new(None)), world.start(Wire::new(None))];

    let accepted = join_all((0..50).map(|turn| hand_in(&processes[turn % 2], CONTENT))).await;

    let tickets: Vec<Accepted> = accepted.into_iter().map(Result::unwrap).collect();
    assert_eq!(tickets.iter().filter(|ticket| !ticket.is_replay).count(), 1);
    assert!(tickets.iter().all(|ticket| ticket.task.id == tickets[0].task.id));
    assert_eq!((world.tasks().await.len(), world.count_blobs()), (1, 1));
}

#[tokio::test]
async fn a_task_stands_though_its_neighbours_key_can_not_be_looked_up() {
    let world = World::new();
    let first_look = Call { method: "store.keyed", occurrence: 1, changes: false };
    let wire = Wire::new(Some(Cut { call: first_look, phase: Phase::Before, then: Then::GoesOn }));
    let process = world.start(wire.clone());
    let keys: Vec<String> =
        (0..20).map(|turn| format!("key-{}", if turn % 2 == 0 { 0 } else { turn })).collect();

    let outcomes = join_all(keys.iter().map(|key| hand_in_under(&process, key, CONTENT))).await;

    assert!(wire.was_cut());
    let tasks = world.tasks().await;
    assert_eq!(tasks.len(), 11, "{tasks:?}");
    for (key, outcome) in keys.iter().zip(&outcomes) {
        assert!(outcome.is_ok() || key == "key-0", "{key}: {outcome:?}");
    }
    assert_eq!(world.count_blobs(), 11);
}
