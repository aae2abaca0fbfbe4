//! Chaos: a service of several processes under load, while its processes, its servers, the network between them, its disks and its
//! log fail, all at once and at random; and two clocks are wrong. When the faults are over, each promise is kept: once, right, and
//! nothing is left over.
//!
//! The faults and their order follow from a seed, which is printed; the moment at which each meets the service does not.

mod account;
mod faults;
mod load;
mod records;
pub mod rig;
mod tables;

use std::time::{Duration, Instant};

use self::rig::Rig;
use crate::kit::content::Dice;

/// Returns the time for which faults go on: `COATCHECK_CHAOS_SECONDS`.
fn length() -> Duration {
    let seconds = std::env::var("COATCHECK_CHAOS_SECONDS");
    Duration::from_secs(seconds.map_or(30, |text| text.parse().expect("COATCHECK_CHAOS_SECONDS is a number")))
}

/// Returns the seed that determines the faults: `COATCHECK_CHAOS_SEED`, or another each time.
fn seed() -> u64 {
    let seed = std::env::var("COATCHECK_CHAOS_SEED");
    seed.map_or(u64::from(std::process::id()), |text| text.parse().expect("COATCHECK_CHAOS_SEED is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_chaos_distributed() {
    outlive(Rig::distributed().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_chaos_embedded() {
    outlive(Rig::embedded().await).await;
}

async fn outlive(rig: Rig) {
    let (length, seed) = (length(), seed());
    println!("chaos, {}: COATCHECK_CHAOS_SEED={seed} for {length:?}", rig.name());
    rig.start().await;
    let load = load::start(&rig, seed);
    // Nothing fails before the first promise.
    load.promises(10).await;

    let until = Instant::now() + length;
    let dice = |track| Dice::new(seed.wrapping_mul(8).wrapping_add(track));
    tokio::join!(
        faults::of_processes(&rig, dice(1), until),
        faults::of_the_network(&rig, dice(2), until),
        faults::of_servers(&rig, dice(3), until),
        faults::of_the_log(&rig, dice(4), until),
        faults::of_disks(&rig, dice(5), until),
        faults::of_the_log_keeper(&rig, dice(6), until),
    );

    load.promises(10).await;
    let promised = load.end().await;
    let account = account::settle(&rig, promised).await;
    println!("{account}");
    assert!(account.is_even(), "{account:#?}\n{}", rig.last_words());
    if let Some(log) = rig.second_log() {
        rig.stack.is_complete(&log).await;
    }
}
