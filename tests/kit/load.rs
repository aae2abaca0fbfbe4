//! Clients that upload all the time, even while the server fails, and remember the promises that they got.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_kit::eventually;
use tokio::task::JoinHandle;

use crate::kit::client::{accepted, ask};
use crate::kit::content::{Dice, Sample, noise};
use crate::kit::stack::Stack;

/// Empty, small, around the size up to which uploads are kept in the row, and large.
const SIZES: [usize; 9] = [0, 1, 57, 4_000, 16_384, 16_385, 70_000, 400_000, 2_000_000];
/// The pause of a client after a rejection.
const PAUSE: Duration = Duration::from_millis(5);

/// A promise: the id that was given out, and the digest that it must lead to.
pub type Promise = (String, Arc<str>);

/// Several clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    samples: Vec<Sample>,
    promises: Mutex<Vec<Promise>>,
    given_out: AtomicUsize,
    is_over: AtomicBool,
}

/// Waits until `made` has risen by `more`.
pub async fn further_promises(made: &AtomicUsize, more: usize) {
    let enough = made.load(Relaxed) + more;
    eventually(&format!("{enough} promises"), async || {
        let made = made.load(Relaxed);
        if made >= enough { Ok(()) } else { Err(made) }
    })
    .await;
}

impl Load {
    /// Starts `clients` clients.
    pub fn start(stack: &Arc<Stack>, clients: u64) -> Self {
        let samples = SIZES.iter().zip(1..).map(|(size, seed)| Sample::new(noise(seed, *size))).collect();
        let shared = Arc::new(Shared {
            samples,
            promises: Mutex::default(),
            given_out: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let client = |seed| tokio::spawn(client(stack.clone(), shared.clone(), Dice::new(seed)));
        let clients = (1..=clients).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until `more` further promises were made.
    pub async fn promises(&self, more: usize) {
        further_promises(&self.shared.given_out, more).await;
    }

    /// Returns the promises that were made until now.
    pub fn so_far(&self) -> Vec<Promise> {
        self.shared.promises.lock().unwrap().clone()
    }

    /// Ends all uploads; returns all promises.
    pub async fn end(self) -> Vec<Promise> {
        self.shared.is_over.store(true, Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut *self.shared.promises.lock().unwrap())
    }
}

async fn client(stack: Arc<Stack>, shared: Arc<Shared>, mut dice: Dice) {
    while !shared.is_over.load(Relaxed) {
        let sample = &shared.samples[dice.below(shared.samples.len() as u64) as usize];
        let bytes = sample.bytes.to_vec();
        let request = if dice.below(2) == 0 {
            stack.put_request("load", bytes)
        } else {
            stack.post_request("load", bytes)
        };
        match ask(request).await {
            // Only an answer that was read to its end is a promise.
            Ok(answer) if answer.status == 202 => {
                shared.promises.lock().unwrap().push((accepted(&answer), sample.md5.clone()));
                shared.given_out.fetch_add(1, Relaxed);
            }
            Ok(answer) => {
                // A server that is stopping answers 503.
                assert_eq!(answer.status, 503, "{}", answer.text());
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl Stack {
    /// Checks that each promise is kept: its task exists and has succeeded with that digest.
    pub async fn are_kept(&self, promises: &[Promise]) {
        for (id, md5) in promises {
            let task = self.until(id, "succeeded").await;
            assert_eq!(task["result"]["md5"], **md5, "{task}");
        }
    }
}
