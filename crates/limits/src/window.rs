//! A provider that accepts a number of requests and then blocks for a while: decides for all processes which requests may be sent.
//!
//! The provider begins its block at the request that fills its window, and counts from zero when the block is over. Requests are counted
//! here before they are sent, so that the provider refuses none. The block is assumed to begin when the last of them was answered: never
//! too early, and late by one answer. A refusal that arrives all the same is believed.
//!
//! The count is the number of requests that the provider has received *at most*. Where it may have received fewer (an answer never came, or
//! the state is missing), requests go one at a time from there on: each accepted one may have been the last of the window. A refusal then
//! shows the provider's state; so does a full window of accepted requests without a gap in which a block could have passed unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Limits, LimitsError, Moment, State};

/// The provider's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRule {
    /// Requests that it accepts before it blocks; at least 1.
    pub requests: u32,
    /// The length of the block.
    pub block: Duration,
}

/// The answer to a request that asks to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It may be sent, and is counted; call `leave` with its outcome.
    Open,
    /// The provider's window is full; it accepts requests again in about that time.
    Blocked {
        /// At least this long, as far as is known.
        opens_in: Duration,
    },
    /// Another request is finding out the provider's state: ask again in a moment.
    Busy,
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider accepted it.
    Taken,
    /// The provider refused it, with the pause that it named, if any.
    Refused {
        /// From now on.
        retry_after: Option<Duration>,
    },
    /// It never reached the provider.
    Unsent,
    /// Unknown: it broke off, or failed there.
    Unknown,
}

/// The state of a provider, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It accepts more requests.
    Open {
        /// At least this many.
        remaining: u32,
    },
    /// It accepts none for that time.
    Blocked {
        /// At least this long, as far as is known.
        opens_in: Duration,
    },
    /// It has accepted the last requests, and accepts a limited number more: it may have received others before they were counted.
    Taking {
        /// At most this many.
        at_most: u32,
    },
    /// Unknown, or unknown again; the next requests find it out.
    Unknown,
}

/// The longest time for which a refusal is believed.
const LONGEST_REFUSAL: Duration = Duration::from_secs(24 * 3600);

/// The stored state of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    /// The rule at the last request, for callers that only read.
    rule: Option<WindowRule>,
    /// The most requests that the provider has received in this window.
    sent: u32,
    /// Whether it may have received fewer.
    is_unsure: bool,
    /// The requests in progress.
    under_way: BTreeMap<Uuid, Call>,
    /// When the last of the other requests was answered.
    answered: Moment,
    /// The end of the block, according to a refusal.
    refused_until: Moment,
    /// The number of probes accepted in a row, and the time at which the last one was sent. A probe is a request sent alone to find out the
    /// provider's state.
    probes: u32,
    probed: Moment,
}

/// A request in progress.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Call {
    sent: Moment,
    /// When it counts as answered without an outcome: its process may have died.
    lapses: Moment,
    /// Sent alone, to find out the provider's state.
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
                // Also when a block is over, and the count starts from zero.
                self.sent = rule.requests - remaining + 1;
                false
            }
        };
        self.under_way.insert(id, Call { sent: now, lapses: now.after(lapses_in), is_probe });
        Entry::Open
    }

    /// Ends requests whose outcome was not reported in time.
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
            // The last request may have filled the window: when such a block would be over, the window is empty.
            let may_be_empty = now.since(self.probed) >= rule.block;
            let taken = if may_be_empty { 0 } else { self.probes };
            Standing::Taking { at_most: rule.requests.saturating_sub(taken) }
        } else if !self.under_way.is_empty() {
            // All are sent and not all are answered: the block begins at a moment that is not known yet.
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
                // Whatever was assumed before: after the block the provider has received only the requests still in progress.
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
                // It may have arrived before the block or after it.
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
        // A block could have come and gone since the previous probe was accepted.
        let has_gap = now.since(self.probed) >= rule.block;
        self.probes = if has_gap { 1 } else { self.probes + 1 };
        self.probed = call.sent;
        if self.probes >= rule.requests {
            // They fill a window without a refusal: it is exactly full.
            self.sent = rule.requests;
            self.is_unsure = false;
            self.probes = 0;
        }
    }
}

impl dyn Limits + '_ {
    /// Asks to send one request, by an id of its own, to the provider of that name. The caller must report the outcome by `leave` within
    /// `lapses_in`; after that the request counts as sent and answered.
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

    /// Reports the outcome of a request that was allowed.
    ///
    /// # Errors
    /// If the limits can't be reached; the request lapses then.
    pub async fn leave(&self, provider: &str, id: Uuid, fate: Fate) -> Result<(), LimitsError> {
        self.step(&key(provider), |now, window: &mut Window| window.leave(now, id, fate)).await
    }

    /// Returns the provider's state.
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
