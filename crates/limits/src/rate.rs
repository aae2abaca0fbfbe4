//! A rate that a receiver never sees exceeded: at most that many requests in any sliding second, over all processes.
//!
//! There are as many slots as the rate. A request takes a slot before it is sent and releases it [`REST`] after its reply. The request
//! arrived before its reply did, and the next request in its slot is not sent before that. So two arrivals of one slot are over a second
//! apart, whatever the network does, provided that a request arrives within the time-out of its call or never. The wait for the reply
//! counts in: the use of a slot is 1 / (1 + latency).
//!
//! A grant must be used [within a second](USE_WITHIN) or given back. If the process of a slot dies, its slot becomes free when its request
//! must have arrived, plus a rest.
//!
//! If the state is missing, the requests in progress are unknown. If processes share the limits, senders may live on: no slot is granted
//! until all their requests could have arrived, plus a rest. Otherwise the one earlier sender is dead, and the clock began with the process
//! after it: the dead sender's requests have arrived by then, so a rest from the clock's beginning is enough, which is over before much is
//! ready to be sent.
//!
//! Slots rotate among the tables that ask: of the waiting ones, the one that was served longest ago is next. A table that has not asked for
//! a while does not count as waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Limits, LimitsError, Moment, State, USE_WITHIN};

/// How long a slot rests after a reply: a second, and a little for clocks that differ in speed.
pub const REST: Duration = Duration::from_millis(1005);
/// The longest time after which a waiting table asks again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The time after which a table that has not asked does not count as waiting.
const WAITS: Duration = Duration::from_secs(2);
/// How long the state of an unused limit is kept.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// The receiver's rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Requests in any sliding second; at least 1.
    pub rate: u32,
    /// The time-out of a call: within it a request arrives and is answered, or it is given up.
    pub call: Duration,
}

impl RateRule {
    /// Returns the time from a grant until its request can't arrive within a second of any later one.
    fn lapse(self) -> Duration {
        USE_WITHIN + self.call + REST
    }
}

/// The answer to a table that asks to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The request may be sent within [`USE_WITHIN`]; call `rest` when it was answered.
    Now,
    /// Not yet: ask again after that time. It is the table's turn then, unless a slot takes longer than expected.
    Wait(Duration),
}

/// The state of a receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slots {
    /// No slot is granted before then. `None`: the requests in progress are not known yet.
    closed_until: Option<Moment>,
    /// Slots that are taken, by request id, with the time at which each becomes free if nothing more is heard of it.
    taken: BTreeMap<Uuid, Moment>,
    /// The tables that have asked lately.
    tables: BTreeMap<Uuid, Asker>,
    /// The number of grants so far.
    grants: u64,
}

/// A table with requests to send, of which one asks at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Asker {
    asked: Moment,
    /// Whether its last request for a slot was denied.
    waits: bool,
    /// The number of its last grant.
    served: u64,
}

impl State for Slots {
    fn missing() -> Self {
        Self { closed_until: None, taken: BTreeMap::new(), tables: BTreeMap::new(), grants: 0 }
    }

    fn keep_for(&self) -> Duration {
        KEEP
    }
}

impl Slots {
    fn take(&mut self, now: Moment, is_shared: bool, rule: RateRule, table: Uuid, request: Uuid) -> Turn {
        let closed_until = *self.closed_until.get_or_insert(match is_shared {
            true => now.after(rule.lapse()),
            false => Moment(0).after(REST),
        });
        self.taken.retain(|_, free| *free > now);
        self.tables.retain(|_, asker| asker.asked.after(WAITS) > now);
        // A new table counts as served longest ago. That gives it one grant first, and then it is one among the others.
        let asker = self.tables.entry(table).or_insert(Asker { asked: now, waits: true, served: 0 });
        (asker.asked, asker.waits) = (now, true);
        if now < closed_until {
            return Turn::Wait(closed_until.since(now));
        }

        let place = (asker.served, table);
        let ahead =
            self.tables.iter().filter(|(other, asker)| asker.waits && (asker.served, **other) < place);
        let ahead = ahead.count();
        let free = (rule.rate as usize).saturating_sub(self.taken.len());
        if ahead < free {
            self.grants += 1;
            let served = self.grants;
            self.tables.insert(table, Asker { asked: now, waits: false, served });
            self.taken.insert(request, now.after(rule.lapse()));
            return Turn::Now;
        }
        let mut frees: Vec<Moment> = self.taken.values().copied().collect();
        frees.sort_unstable();
        let turn = frees.get(ahead - free).map_or(ASK_AGAIN, |frees| frees.since(now));
        Turn::Wait(turn.min(ASK_AGAIN))
    }

    fn rest(&mut self, now: Moment, request: Uuid) {
        if let Some(free) = self.taken.get_mut(&request) {
            *free = now.after(REST);
        }
    }
}

impl dyn Limits + '_ {
    /// Asks for a slot to send one request of a table, by an id of its own, to the receiver of that name. A table asks for one at a time.
    ///
    /// # Errors
    /// If the limits can't be reached: nothing may be sent.
    pub async fn take(
        &self,
        receiver: &str,
        rule: RateRule,
        table: Uuid,
        request: Uuid,
    ) -> Result<Turn, LimitsError> {
        let is_shared = self.is_shared();
        self.step(&key(receiver), |now, slots: &mut Slots| slots.take(now, is_shared, rule, table, request))
            .await
    }

    /// Records that a request was answered, or given up at its time-out.
    ///
    /// # Errors
    /// If the limits can't be reached; the slot lapses then.
    pub async fn rest(&self, receiver: &str, request: Uuid) -> Result<(), LimitsError> {
        self.step(&key(receiver), |now, slots: &mut Slots| slots.rest(now, request)).await
    }

    /// Gives back a slot whose request was never sent.
    ///
    /// # Errors
    /// If the limits can't be reached; the slot lapses then.
    pub async fn give_back(&self, receiver: &str, request: Uuid) -> Result<(), LimitsError> {
        self.step(&key(receiver), |_, slots: &mut Slots| {
            slots.taken.remove(&request);
        })
        .await
    }
}

fn key(receiver: &str) -> String {
    format!("rate:{receiver}")
}

#[cfg(test)]
mod tests;
