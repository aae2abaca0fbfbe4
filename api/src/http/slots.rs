//! Places that requests share: fairly, so that one client can't have them all.
//!
//! A client that has k places gets another only while more than k are free. So one alone has half of them at most, and each further client
//! half of the rest: to take all, many addresses or users are needed. Slow requests are told from others by their pace: more of it is
//! expected of a client that has its share and wants more, and of all while no place is free.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use accounts::user::UserId;
use actix_web::HttpRequest;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::http::hops;

/// How long a request waits for a place.
const WAIT: Duration = Duration::from_secs(2);
/// For how long places count as missing after one was waited for.
const SHORT: Duration = Duration::from_secs(30);

/// Bytes a second, and over what time they are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub bytes: u64,
    pub over: Duration,
}

/// The least pace while nobody waits.
pub const EASY: Pace = Pace { bytes: 1 << 10, over: Duration::from_secs(30) };
/// The least pace of who has a place while others wait for one.
pub const FAIR: Pace = Pace { bytes: 64 << 10, over: Duration::from_secs(10) };

/// A client, to whom its places are counted: a user, or a network where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    User(UserId),
    Network(IpNet),
    Unknown,
}

impl Client {
    /// The client that a request comes from.
    pub fn of(request: &HttpRequest, user: Option<UserId>) -> Self {
        match (user, hops::network(request)) {
            (Some(user), _) => Self::User(user),
            (None, Some(network)) => Self::Network(network),
            (None, None) => Self::Unknown,
        }
    }
}

/// A number of places.
pub struct Slots {
    taken: Mutex<Taken>,
    given_back: Notify,
}

struct Taken {
    free: usize,
    by_client: HashMap<Client, Share>,
    /// Until when all have to keep up the fair pace.
    short_until: Option<Instant>,
}

/// What a client has.
#[derive(Default)]
struct Share {
    held: usize,
    /// Until when it has to keep up the fair pace, for it wanted more.
    short_until: Option<Instant>,
}

/// A place, given back when it is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    client: Client,
}

impl Slots {
    pub fn new(places: usize) -> Arc<Self> {
        let taken = Taken { free: places, by_client: HashMap::new(), short_until: None };
        Arc::new(Self { taken: Mutex::new(taken), given_back: Notify::new() })
    }

    /// Takes a place; `None` if there is none for this client within two seconds.
    ///
    /// # Cancel safety
    /// A caller that goes away takes none.
    pub async fn take(self: &Arc<Self>, client: Client) -> Option<Slot> {
        self.take_within(client, WAIT).await
    }

    /// Takes a place; `None` if there is none for this client within that time.
    ///
    /// # Cancel safety
    /// A caller that goes away takes none.
    pub async fn take_within(self: &Arc<Self>, client: Client, wait: Duration) -> Option<Slot> {
        let deadline = Instant::now() + wait;
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // Before the look, so that none that is given back after it is missed.
            given_back.as_mut().enable();
            if let Some(slot) = self.try_take(client) {
                return Some(slot);
            }
            timeout_at(deadline, given_back).await.ok()?;
        }
    }

    fn try_take(self: &Arc<Self>, client: Client) -> Option<Slot> {
        let mut taken = self.taken.lock();
        let Taken { free, by_client, short_until } = &mut *taken;
        let held = by_client.get(&client).map_or(0, |share| share.held);
        if held >= *free {
            let until = Some(Instant::now() + SHORT);
            match by_client.get_mut(&client) {
                Some(share) if *free > 0 => share.short_until = until,
                _ => *short_until = until,
            }
            return None;
        }
        *free -= 1;
        by_client.entry(client).or_default().held += 1;
        Some(Slot { slots: self.clone(), client })
    }

    /// The pace that a client must keep up where it has a place.
    fn least_pace(&self, client: Client) -> Pace {
        let taken = self.taken.lock();
        let of_client = taken.by_client.get(&client).and_then(|share| share.short_until);
        let until = taken.short_until.max(of_client);
        if until.is_some_and(|until| Instant::now() < until) { FAIR } else { EASY }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.free += 1;
        if let Some(share) = taken.by_client.get_mut(&self.client) {
            share.held -= 1;
            if share.held == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        drop(taken);
        // Whose share has room is known to those who wait alone.
        self.slots.given_back.notify_waiters();
    }
}

/// A request's place, taken once it needs one.
pub struct Place {
    slots: Arc<Slots>,
    client: Client,
    slot: OnceLock<Slot>,
}

impl Place {
    pub fn new(slots: Arc<Slots>, client: Client) -> Arc<Self> {
        Arc::new(Self { slots, client, slot: OnceLock::new() })
    }

    /// Takes the place, if that was not done before; `false` if there is none.
    pub async fn take(&self) -> bool {
        if self.slot.get().is_none() {
            let Some(slot) = self.slots.take(self.client).await else { return false };
            // One request takes one after the other.
            let _ = self.slot.set(slot);
        }
        true
    }

    /// The pace that the request must keep up.
    pub fn least_pace(&self) -> Pace {
        match self.slot.get() {
            Some(_) => self.slots.least_pace(self.client),
            None => EASY,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(number: u8) -> Client {
        Client::Network(IpAddr::from([10, 0, 0, number]).into())
    }

    /// As many places as the client can have.
    fn all(slots: &Arc<Slots>, client: Client) -> Vec<Slot> {
        std::iter::from_fn(|| slots.try_take(client)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_never_has_all() {
        let slots = Slots::new(64);

        let shares: Vec<Vec<Slot>> = (1..=7).map(|number| all(&slots, client(number))).collect();

        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [32, 16, 8, 4, 2, 1, 1]);
        assert!(slots.take(client(8)).await.is_none());
        drop(shares);
        assert_eq!(all(&slots, client(8)).len(), 32);
        assert!(slots.taken.lock().by_client.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_is_taken_by_who_waits() {
        let slots = Slots::new(1);
        let only = slots.take(client(1)).await.unwrap();

        let (waited, ()) = tokio::join!(slots.take(client(2)), async {
            tokio::time::sleep(WAIT / 2).await;
            drop(only);
        });

        assert!(waited.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_place_is_missing_a_fair_pace_is_expected() {
        let slots = Slots::new(4);
        let [one, two] = [1, 2].map(client);
        let place = Place::new(slots.clone(), two);
        assert!(place.take().await);
        let held = all(&slots, one);
        // Its share is taken, and others need not care.
        assert_eq!((held.len(), slots.least_pace(one), place.least_pace()), (2, FAIR, EASY));

        tokio::time::advance(SHORT).await;
        assert_eq!(slots.least_pace(one), EASY);

        let last = slots.take(client(3)).await;
        assert!(last.is_some() && slots.take(client(4)).await.is_none());
        assert_eq!((slots.least_pace(one), place.least_pace()), (FAIR, FAIR));
        assert_eq!(Place::new(slots, one).least_pace(), EASY);
    }
}
