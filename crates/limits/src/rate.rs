//! A rate that a receiver never sees exceeded: at most so many requests in any sliding second, over all processes.
//!
//! There are as many slots as the rate. A request takes one before it is sent and gives it back [`REST`] after its reply. It arrived
//! before its reply did, and the next one in its slot is not sent before that: so two arrivals of one slot are over a second
//! apart, whatever the network does, as long as a request arrives within the bound of its call or never. The wait for the reply
//! counts in: the use of a slot is 1 / (1 + latency).
//!
//! A grant must be used [within a second](USE_WITHIN) or given back. A slot of which nobody is heard again, for its process has died,
//! is free when its request must have arrived, and a rest after it.
//!
//! Where the state is missing, nobody knows what is under way. If processes share the limits, senders may live on: no slot is granted
//! until all that they had could have arrived, and a rest after it. If not, the one sender of before is dead, and the clock began with
//! the process that came after it: what the dead one sent has arrived by then, so a rest from the clock's beginning is enough, which
//! is over before much is ready to be sent.
//!
//! Slots go round among the tables that ask: of those that wait, the one that was served longest ago is next. A table that has not
//! asked for a while no longer waits.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Limits, LimitsError, Moment, State, USE_WITHIN};

/// How long a slot rests after a reply: a second, and a little for clocks that don't go alike.
pub const REST: Duration = Duration::from_millis(1005);
/// Who waits asks again within this at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Who has not asked for so long does not wait any more.
const WAITS: Duration = Duration::from_secs(2);
/// For how long the state of a limit that nobody uses is kept.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the receiver allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Requests in any sliding second; at least 1.
    pub rate: u32,
    /// Within that a request arrives and is answered, or it is given up.
    pub call: Duration,
}

impl RateRule {
    /// From a grant until what it was for can't come to the receiver within a second of anything later.
    fn lapse(self) -> Duration {
        USE_WITHIN + self.call + REST
    }
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may, within [`USE_WITHIN`]: `rest` must be said when it was answered.
    Now,
    /// Not yet: ask again after so long. It is the asker's turn then, unless a slot takes longer than was thought.
    Wait(Duration),
}

/// What is kept of a receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slots {
    /// Nothing is granted before then. `None`: nothing is known yet of what is under way.
    closed_until: Option<Moment>,
    /// Slots that are not free, by the request that has each, with when it is free if nothing more is heard.
    taken: BTreeMap<Uuid, Moment>,
    /// Who has asked lately.
    tables: BTreeMap<Uuid, Asker>,
    /// How many grants there were.
    grants: u64,
}

/// Someone with many requests to send, of which one asks at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Asker {
    asked: Moment,
    /// Whether it was not granted what it asked for.
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
        // Whoever is new was served longest ago. That is worth one grant to it, and then it is one among the others.
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
    /// Asks to send one request of a table, by an id of its own, to the receiver of that name. A table asks for one at a
    /// time.
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

    /// Says that a request was answered, or given up at the bound of its call.
    ///
    /// # Errors
    /// If the limits can't be reached; its slot lapses then.
    pub async fn rest(&self, receiver: &str, request: Uuid) -> Result<(), LimitsError> {
        self.step(&key(receiver), |now, slots: &mut Slots| slots.rest(now, request)).await
    }

    /// Gives a slot back whose request was never sent.
    ///
    /// # Errors
    /// If the limits can't be reached; it lapses then.
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
