//! Clients that hand in uploads of all sizes, with and without keys, ask for results and cancel, and clients that send records and tables,
//! even while the servers fail. They remember every answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::rig::Rig;
use super::{records, tables};
use crate::kit::client::Answer;
use crate::kit::content::{Dice, Sample, noise};
use crate::kit::load::further_promises;
use crate::kit::stack::Stack;

const CLIENTS: u64 = 24;
/// The number of clients that send records.
const REPORTERS: u64 = 3;
/// The time after which a client gives up a request, because the server may stand still.
const TIMEOUT: Duration = Duration::from_secs(6);
/// A time without a promise, which is reported when it ends.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// A ticket that was given out.
#[derive(Debug, Clone)]
pub struct Promise {
    pub id: String,
    pub md5: Arc<str>,
    /// Whether a client asked to cancel it.
    pub is_unwanted: bool,
    /// The final state in which it was once seen, which must never change.
    pub seen: Option<Value>,
}

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// The knowledge of all clients.
pub struct Promised {
    pub promises: Vec<Promise>,
    /// The URIs of records that were sent, and whether each is known to be kept.
    pub records: HashMap<String, bool>,
    /// The tickets of tables, and the number of rows of each.
    pub tables: Vec<(String, usize)>,
    /// The longest time without a promise.
    pub longest_stall: Duration,
}

pub struct Shared {
    pub stack: Arc<Stack>,
    apis: Vec<String>,
    samples: Vec<Sample>,
    promises: Mutex<Vec<Promise>>,
    pub records: Mutex<HashMap<String, bool>>,
    pub tables: Mutex<Vec<(String, usize)>>,
    given_out: AtomicUsize,
    /// The time of the last promise, and the longest time without one.
    pace: Mutex<(Instant, Duration)>,
    wrongs: Arc<Mutex<Vec<String>>>,
    is_over: AtomicBool,
}

/// Starts the clients.
pub fn start(rig: &Rig, seed: u64) -> Load {
    let shared = Arc::new(Shared {
        stack: rig.stack.clone(),
        apis: rig.apis().map(|api| api.address()).collect(),
        samples: samples(&mut Dice::new(seed)),
        promises: Mutex::default(),
        records: Mutex::default(),
        tables: Mutex::default(),
        given_out: AtomicUsize::new(0),
        pace: Mutex::new((Instant::now(), Duration::ZERO)),
        wrongs: rig.wrongs.clone(),
        is_over: AtomicBool::new(false),
    });
    let client = |number| tokio::spawn(Client::new(shared.clone(), seed, number).work());
    let mut clients: Vec<JoinHandle<()>> = (0..CLIENTS).map(client).collect();
    let dice = |number: u64| Dice::new(seed.wrapping_mul(64).wrapping_add(number));
    clients.extend(
        (CLIENTS..CLIENTS + REPORTERS)
            .map(|number| tokio::spawn(records::send(shared.clone(), dice(number), number))),
    );
    clients.push(tokio::spawn(tables::hand_in(shared.clone(), dice(CLIENTS + REPORTERS))));
    Load { clients, shared }
}

/// Returns mostly samples that are kept in the row, up to the last byte that fits; some larger ones; a few of several MiB.
fn samples(dice: &mut Dice) -> Vec<Sample> {
    let mut sizes = vec![0, 1, 16_384, 16_385];
    sizes.extend((0..60).map(|_| dice.below(16_384) as usize));
    sizes.extend((0..12).map(|_| 100_000 + dice.below(200_000) as usize));
    sizes.extend((0..3).map(|_| 1_000_000 + dice.below(1_000_000) as usize));
    sizes.push(8 << 20);
    sizes.into_iter().map(|size| Sample::new(noise(dice.roll(), size))).collect()
}

impl Load {
    /// Waits until `more` further promises were made.
    pub async fn promises(&self, more: usize) {
        further_promises(&self.shared.given_out, more).await;
    }

    /// Ends all uploads; returns all promises.
    pub async fn end(self) -> Promised {
        self.shared.is_over.store(true, Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        let Shared { promises, records, tables, pace, .. } = &*self.shared;
        Promised {
            promises: std::mem::take(&mut *promises.lock().unwrap()),
            records: std::mem::take(&mut *records.lock().unwrap()),
            tables: std::mem::take(&mut *tables.lock().unwrap()),
            longest_stall: pace.lock().unwrap().1,
        }
    }
}

struct Client {
    shared: Arc<Shared>,
    dice: Dice,
    /// Makes its keys unique.
    name: String,
    keys: usize,
}

impl Client {
    fn new(shared: Arc<Shared>, seed: u64, number: u64) -> Self {
        let dice = Dice::new(seed.wrapping_mul(64).wrapping_add(number));
        Self { shared, dice, name: format!("client-{number}"), keys: 0 }
    }

    async fn work(mut self) {
        while !self.shared.is_over() {
            let sample = self.dice.below(self.shared.samples.len() as u64) as usize;
            let sample = self.shared.samples[sample].clone();
            let key = (self.dice.below(2) == 0).then(|| {
                self.keys += 1;
                format!("{}-{}", self.name, self.keys)
            });
            let Some(id) = self.hand_in(&sample, key.as_deref()).await else { continue };
            let mut promise = Promise { id, md5: sample.md5.clone(), is_unwanted: false, seen: None };
            match self.dice.below(16) {
                0 => self.cancel(&mut promise).await,
                1..5 => self.redeem(&mut promise).await,
                5 if key.is_some() => {
                    let again = self.hand_in(&sample, key.as_deref()).await;
                    if again.as_ref().is_some_and(|id| *id != promise.id) {
                        self.wrong(format!("{key:?} stood for {}, then for {again:?}", promise.id));
                    }
                }
                _ => {}
            }
            self.shared.promises.lock().unwrap().push(promise);
            sleep(Duration::from_millis(self.dice.below(30))).await;
        }
    }

    /// Hands the sample in until it gets a promise, if a key makes it the same upload; otherwise once.
    async fn hand_in(&mut self, sample: &Sample, key: Option<&str>) -> Option<String> {
        loop {
            let bytes = sample.bytes.to_vec();
            let url = self.url("/api/v1/md5/chaos");
            let mut request = self.shared.stack.http.put(url).body(bytes);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            match ask(request).await {
                Some(answer) if answer.status == 202 => {
                    self.shared.given_out();
                    return Some(answer.json()["id"].as_str().expect("an id").to_owned());
                }
                // Servers that are away, a disk that is full, and a process that stood still and took its own time for the client's.
                Some(answer) if matches!(answer.status, 408 | 503 | 507) => {}
                Some(answer) => self.wrong(format!("an upload was answered {}", shown(&answer))),
                None => {}
            }
            sleep(Duration::from_millis(10 + self.dice.below(100))).await;
            if key.is_none() || self.shared.is_over() {
                return None;
            }
        }
    }

    async fn cancel(&mut self, promise: &mut Promise) {
        promise.is_unwanted = true;
        let url = self.url(&format!("/api/v1/tasks/{}", promise.id));
        let Some(answer) = ask(self.shared.stack.http.delete(url)).await else { return };
        match answer.status {
            200 => self.see(promise, answer.json()),
            408 | 409 | 503 => {}
            _ => self.wrong(format!("the cancelling of {} was answered {}", promise.id, shown(&answer))),
        }
    }

    /// Redeems the ticket at any process, as soon as it is given out.
    async fn redeem(&mut self, promise: &mut Promise) {
        let url = self.url(&format!("/api/v1/tasks/{}?wait=1", promise.id));
        let Some(answer) = ask(self.shared.stack.http.get(url)).await else { return };
        match answer.status {
            200 => self.see(promise, answer.json()),
            408 | 503 => {}
            _ => self.wrong(format!("the ticket {} was answered {}", promise.id, shown(&answer))),
        }
    }

    fn see(&self, promise: &mut Promise, task: Value) {
        if !task["finished"].is_null() {
            promise.seen = Some(task);
        }
    }

    fn url(&mut self, path: &str) -> String {
        self.shared.url(&mut self.dice, path)
    }

    fn wrong(&self, what: String) {
        self.shared.wrong(what);
    }
}

impl Shared {
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Returns the path's URL at one of the APIs.
    pub fn url(&self, dice: &mut Dice, path: &str) -> String {
        let api = dice.below(self.apis.len() as u64) as usize;
        format!("http://{}{path}", self.apis[api])
    }

    pub fn wrong(&self, what: String) {
        self.wrongs.lock().unwrap().push(what);
    }

    fn given_out(&self) {
        self.given_out.fetch_add(1, Relaxed);
        let mut pace = self.pace.lock().unwrap();
        let stall = pace.0.elapsed();
        if stall > WORTH_TELLING {
            println!("{:?} the first promise in {stall:.1?}", Utc::now());
        }
        *pace = (Instant::now(), pace.1.max(stall));
    }
}

/// Returns the whole answer, if one came.
pub async fn ask(request: reqwest::RequestBuilder) -> Option<Answer> {
    tokio::time::timeout(TIMEOUT, crate::kit::client::ask(request)).await.ok()?.ok()
}

pub fn shown(answer: &Answer) -> String {
    format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body))
}
