//! One process, from its start to its end or its cut: an API's half of a promise and a whole worker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use task_data::kinds::md5::Input;
use task_data::life::Life;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use worker::{Draining, WorkerSettings};

use crate::checks::Promise;
use crate::ports;
use crate::wire::{Call, Cut, Moment, Wire};
use crate::world::{Database, Keeps, World};

/// The purpose of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// It takes the upload in, does it and logs it.
    Keep,
    /// It finishes what other processes have left.
    Recover,
}

/// The calls and the end of a process.
pub struct Lived {
    pub calls: Vec<Call>,
    pub was_cut: bool,
}

/// Runs a process until its end, or until the cut.
pub fn live(world: &Arc<World>, promise: &mut Promise, errand: Errand, cut: Option<Cut>) -> Lived {
    let wire = Arc::new(Wire::new(cut));
    let runtime = runtime(&wire);
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = wire.crash() => {}
            () = run(world, &wire, promise, errand) => {}
        }
    });
    // With it go all that was under way, but for threads, which end by themselves; they are waited for.
    drop(runtime);
    world.bury(wire.take_remains());
    Lived { calls: wire.calls(), was_cut: wire.was_cut() }
}

/// Returns a runtime of one thread, whose clock goes on only when there is nothing else to do.
fn runtime(wire: &Arc<Wire>) -> Runtime {
    let (idle, busy) = (wire.clone(), wire.clone());
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || idle.set_idle(true))
        .on_thread_unpark(move || busy.set_idle(false))
        .build()
        .unwrap()
}

/// Waits until nothing is left to do: the clock stands still before.
async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

async fn run(world: &Arc<World>, wire: &Arc<Wire>, promise: &mut Promise, errand: Errand) {
    let stack = ports::open(world, wire);
    let life = Life::start(stack.clone(), world.settings()).unwrap();
    if world.database == Database::Sqlite {
        life.begin_alone().await.unwrap();
    }
    let stop = CancellationToken::new();
    let working =
        tokio::spawn(worker::work(life.clone(), stack, settings(), Draining::default(), stop.clone()));
    rest().await;
    match errand {
        Errand::Keep => hand_in(&life, promise).await,
        Errand::Recover => recover(world, &life, promise).await,
    }
    rest().await;
    if world.keeps != Keeps::All {
        // Only what was counted is deleted.
        life.sweep().await.unwrap();
        life.prune().await.unwrap();
    }
    if errand == Errand::Recover {
        life.remove_orphans().await.unwrap();
    }
    stop.cancel();
    working.await.unwrap().unwrap();
}

async fn hand_in(life: &Life, promise: &mut Promise) {
    let mut intake = life.take_in(None);
    promise.id = Some(intake.id());
    for chunk in promise.form.chunks() {
        intake.write(Bytes::from_static(chunk)).await.unwrap();
    }
    let input = Input { filename: None, size: intake.size(), content_type: None, expected: None };
    let accepted = life.accept(intake, None, input.into()).await.unwrap();
    assert_eq!(Some(accepted.task.id), promise.id);
    promise.is_given = true;
}

/// Lets late calls take effect and time pass; then a sweep brings the rest on.
async fn recover(world: &Arc<World>, life: &Life, promise: &mut Promise) {
    promise.look(world);
    let rests = world.clone();
    world.wait_for(async move { rests.arrive(Moment::Rest).await });
    rest().await;
    world.let_time_pass(world.workers().last().copied());
    life.sweep().await.unwrap();
    for _look in 0..2 {
        rest().await;
        life.publish_lost().await.unwrap();
    }
}

fn settings() -> WorkerSettings {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        worker: WorkerSettings,
    }
    Arguments::parse_from(["worker", "--workers", "1"]).worker
}
