//! A client that doesn't know whether its upload has arrived sends it again under the same key.

use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;
use task_data::error::Refusal;
use task_data::idempotency::IdempotencyKey;
use task_data::kinds::Kind;
use task_data::life::Accepted;

use crate::cut::{Call, Cut, Phase, Then, Wire};
use crate::on_a_runtime;
use crate::world::{Process, World};

const CONTENT: &[u8] = b"too large for a row";

async fn hand_in(process: &Process, content: &'static [u8]) -> Result<Accepted, Refusal> {
    let key: IdempotencyKey = "one-key".parse().unwrap();
    let mut intake = process.life.take_in(Some(key));
    for chunk in content.chunks(5) {
        intake.write(Bytes::from_static(chunk)).await?;
    }
    process.life.accept(intake, Kind::Md5, None, json!({})).await
}

/// Hands in until a ticket is given, with the cut at the first time. Gives the calls of that time.
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
