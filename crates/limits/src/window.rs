//! A provider that takes a number of requests and then none for a while: what may be sent to it, over all processes.
//!
//! The provider begins its block at the request that fills its window, and counts anew when the block is over. Requests are
//! counted here before they are sent, so that none is refused. The block is taken to begin when the last of them was
//! answered: never too early, and late by one answer. A refusal that comes all the same is believed.
//!
//! What is counted is how many requests the provider has *at most*. Where it is not sure that it has that many (an answer never came, or
//! nothing is known at all), requests go one at a time from there on: each that is taken may have been the last. A refusal then
//! tells where the provider stands; so do as many requests as fill a whole window, taken without a gap in which a block could
//! have passed unseen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Limits, LimitsError, Moment, State};

/// What the provider allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRule {
    /// Requests that it takes before it blocks; at least 1.
    pub requests: u32,
    /// For how long it blocks then.
    pub block: Duration,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It may, and is counted: `leave` must say what came of it.
    Open,
    /// The provider has its requests; it takes the next ones in about so long.
    Blocked {
        /// At least this long, as far as is known.
        opens_in: Duration,
    },
    /// Where the provider stands is being found out by another request: ask again in a moment.
    Busy,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider took it.
    Taken,
    /// The provider refused it, for so long if it said so.
    Refused {
        /// From now on.
        retry_after: Option<Duration>,
    },
    /// It never reached the provider.
    Unsent,
    /// Nobody knows: it broke off, or failed there.
    Unknown,
}

/// Where a provider stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes so many requests more.
    Open {
        /// At least so many.
        remaining: u32,
    },
    /// It takes none for so long.
    Blocked {
        /// At least this long, as far as is known.
        opens_in: Duration,
    },
    /// It has taken the last ones, and takes so many more at most: it may have had others before they were counted.
    Taking {
        /// No more than so many.
        at_most: u32,
    },
    /// Nothing is known yet, or no longer; it is found out with the next requests.
    Unknown,
}

/// A refusal is believed, but not for longer than this.
const LONGEST_REFUSAL: Duration = Duration::from_secs(24 * 3600);

/// What is kept of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    /// As it was when a request last came, for those who only look.
    rule: Option<WindowRule>,
    /// Requests that the provider has in this window at most.
    sent: u32,
    /// Whether it may have fewer.
    is_unsure: bool,
    /// Those that are under way.
    under_way: BTreeMap<Uuid, Call>,
    /// When the last of the others was answered.
    answered: Moment,
    /// Until when a refusal said that it takes none.
    refused_until: Moment,
    /// Of those that were sent one at a time to find out: how many were taken in a row, and when the last of them was sent.
    probes: u32,
    probed: Moment,
}

/// A request under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Call {
    sent: Moment,
    /// When it counts as answered, if nobody says what came of it: its process may have died.
    lapses: Moment,
    /// Sent alone, to find out where the provider stands.
    is_probe: bool,
}

impl State for Window {
    fn missing() -> Self {
        Self {
            rule: None,
            sent: u32::MAX,
            is_unsure: true,
            under_way: BTreeMap::new(),
            answered: Moment(0),
            refused_until: Moment(0),
            probes: 0,
            probed: Moment(0),
        }
    }

    fn keep_for(&self) -> Duration {
        LONGEST_REFUSAL.max(self.rule.map_or(Duration::ZERO, |rule| rule.block.saturating_mul(10)))
    }
}

impl Window {
    fn enter(&mut self, now: Moment, rule: WindowRule, id: Uuid, lapses_in: Duration) -> Entry {
        self.rule = Some(rule);
        self.lapse(now);
        let is_probe = match self.standing(now) {
            Standing::Blocked { opens_in } => return Entry::Blocked { opens_in },
            Standing::Taking { .. } | Standing::Unknown if !self.under_way.is_empty() => return Entry::Busy,
            Standing::Taking { .. } | Standing::Unknown => true,
            Standing::Open { remaining } => {
                // Also where a block is over, and the count begins anew.
                self.sent = rule.requests - remaining + 1;
                false
            }
        };
        self.under_way.insert(id, Call { sent: now, lapses: now.after(lapses_in), is_probe });
        Entry::Open
    }

    /// Requests of which nobody has said what came of them.
    fn lapse(&mut self, now: Moment) {
        let lapsed = self.under_way.iter().filter(|(_, call)| call.lapses <= now);
        for (id, lapses) in lapsed.map(|(id, call)| (*id, call.lapses)).collect::<Vec<_>>() {
            self.leave(lapses, id, Fate::Unknown);
        }
    }

    fn standing(&self, now: Moment) -> Standing {
        let Some(rule) = self.rule else { return Standing::Unknown };
        let block_ends = self.answered.after(rule.block);
        if now < self.refused_until {
            Standing::Blocked { opens_in: self.refused_until.since(now) }
        } else if self.sent < rule.requests {
            Standing::Open { remaining: rule.requests - self.sent }
        } else if self.is_unsure && self.probes == 0 {
            Standing::Unknown
        } else if self.is_unsure {
            // The last may have filled its window: when such a block would be over, that is empty.
            let may_be_empty = now.since(self.probed) >= rule.block;
            let taken = if may_be_empty { 0 } else { self.probes };
            Standing::Taking { at_most: rule.requests.saturating_sub(taken) }
        } else if !self.under_way.is_empty() {
            // All are sent and not all are answered: it will have blocked from some moment on that is not yet known.
            Standing::Blocked { opens_in: rule.block }
        } else if now < block_ends {
            Standing::Blocked { opens_in: block_ends.since(now) }
        } else {
            Standing::Open { remaining: rule.requests }
        }
    }

    fn leave(&mut self, now: Moment, id: Uuid, fate: Fate) {
        let call = self.under_way.remove(&id);
        let is_refused = now < self.refused_until;
        if let Fate::Refused { retry_after } = fate {
            let block = retry_after.or(self.rule.map(|rule| rule.block)).unwrap_or_default();
            self.refused_until = self.refused_until.max(now.after(block.min(LONGEST_REFUSAL)));
            if !is_refused {
                // Whatever was thought before: when that is over it has none but those that are still under way.
                self.sent = u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
                self.is_unsure = false;
                self.probes = 0;
                return;
            }
        }
        let Some(call) = call else { return };
        if call.sent < self.refused_until {
            match is_refused {
                true => self.sent = self.sent.saturating_sub(1),
                // It may have come before the block or after it.
                false => self.is_unsure = true,
            }
            return;
        }
        self.answered = self.answered.max(now);
        match fate {
            Fate::Taken if call.is_probe => self.count_probe(now, call),
            Fate::Unsent if !call.is_probe => self.sent = self.sent.saturating_sub(1),
            Fate::Taken | Fate::Unsent | Fate::Refused { .. } => {}
            Fate::Unknown => {
                self.is_unsure = true;
                self.probes = 0;
            }
        }
    }

    fn count_probe(&mut self, now: Moment, call: Call) {
        let Some(rule) = self.rule else { return };
        // A block could have come and gone since the one before was taken.
        let has_gap = now.since(self.probed) >= rule.block;
        self.probes = if has_gap { 1 } else { self.probes + 1 };
        self.probed = call.sent;
        if self.probes >= rule.requests {
            // They fill a window, and none of it was refused: it is exactly full.
            self.sent = rule.requests;
            self.is_unsure = false;
            self.probes = 0;
        }
    }
}

impl dyn Limits + '_ {
    /// Asks to send one request, by an id of its own, to the provider of that name. What came of it is to be said by
    /// `leave` within `lapses_in`; it counts as sent and answered then.
    ///
    /// # Errors
    /// If the limits can't be reached: nothing may be sent.
    pub async fn enter(
        &self,
        provider: &str,
        rule: WindowRule,
        id: Uuid,
        lapses_in: Duration,
    ) -> Result<Entry, LimitsError> {
        self.step(&key(provider), |now, window: &mut Window| window.enter(now, rule, id, lapses_in)).await
    }

    /// Says what came of a request that was let in.
    ///
    /// # Errors
    /// If the limits can't be reached; it lapses then.
    pub async fn leave(&self, provider: &str, id: Uuid, fate: Fate) -> Result<(), LimitsError> {
        self.step(&key(provider), |now, window: &mut Window| window.leave(now, id, fate)).await
    }

    /// Where the provider stands.
    ///
    /// # Errors
    /// If the limits can't be reached.
    pub async fn standing(&self, provider: &str) -> Result<Standing, LimitsError> {
        self.look(&key(provider), |now, mut window: Window| {
            window.lapse(now);
            window.standing(now)
        })
        .await
    }
}

fn key(provider: &str) -> String {
    format!("window:{provider}")
}

#[cfg(test)]
mod tests;
