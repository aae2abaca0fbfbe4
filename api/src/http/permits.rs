//! Permits that requests share fairly, so that one client can't have them all.
//!
//! A client that has k permits gets another only while more than k are free. So one client alone has at most half of them, and each further
//! client half of the rest; only many addresses or users together can take all. A least pace tells slow requests from others. It is higher
//! for a client that has its share and wants more, and for all clients while no permit is free.

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

/// How long a request waits for a permit.
const WAIT: Duration = Duration::from_secs(2);
/// How long permits count as short after a request had to wait for one.
const SHORT: Duration = Duration::from_secs(30);

/// A pace: a number of bytes a second, and the time over which it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub bytes: u64,
    pub over: Duration,
}

/// The least pace while no request waits.
pub const EASY: Pace = Pace { bytes: 1 << 10, over: Duration::from_secs(30) };
/// The least pace of a client that has a permit while others wait for one.
pub const FAIR: Pace = Pace { bytes: 64 << 10, over: Duration::from_secs(10) };

/// A client that permits are counted for: a user, or a network for anonymous requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    User(UserId),
    Network(IpNet),
    Unknown,
}

impl Client {
    /// Returns the client that a request comes from.
    pub fn of(request: &HttpRequest, user: Option<UserId>) -> Self {
        match (user, hops::network(request)) {
            (Some(user), _) => Self::User(user),
            (None, Some(network)) => Self::Network(network),
            (None, None) => Self::Unknown,
        }
    }
}

/// A number of permits that clients share.
pub struct FairSemaphore {
    taken: Mutex<Taken>,
    given_back: Notify,
}

struct Taken {
    free: usize,
    by_client: HashMap<Client, Share>,
    /// The time until which all clients have to keep up the fair pace.
    short_until: Option<Instant>,
}

/// The permits of one client.
#[derive(Default)]
struct Share {
    held: usize,
    /// The time until which the client has to keep up the fair pace, because it wanted more permits.
    short_until: Option<Instant>,
}

/// A permit, given back when it is dropped.
pub struct Permit {
    semaphore: Arc<FairSemaphore>,
    client: Client,
}

impl FairSemaphore {
    pub fn new(permits: usize) -> Arc<Self> {
        let taken = Taken { free: permits, by_client: HashMap::new(), short_until: None };
        Arc::new(Self { taken: Mutex::new(taken), given_back: Notify::new() })
    }

    /// Takes a permit; `None` if none becomes free for this client within two seconds.
    ///
    /// # Cancel safety
    /// A call that is dropped takes none.
    pub async fn take(self: &Arc<Self>, client: Client) -> Option<Permit> {
        self.take_within(client, WAIT).await
    }

    /// Takes a permit; `None` if none becomes free for this client within that time.
    ///
    /// # Cancel safety
    /// A call that is dropped takes none.
    pub async fn take_within(self: &Arc<Self>, client: Client, wait: Duration) -> Option<Permit> {
        let deadline = Instant::now() + wait;
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // Enabled before the look, so that a permit given back after it wakes this caller.
            given_back.as_mut().enable();
            if let Some(permit) = self.try_take(client) {
                return Some(permit);
            }
            timeout_at(deadline, given_back).await.ok()?;
        }
    }

    fn try_take(self: &Arc<Self>, client: Client) -> Option<Permit> {
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
        Some(Permit { semaphore: self.clone(), client })
    }

    /// Returns the pace that a client must keep up while it has a permit.
    fn least_pace(&self, client: Client) -> Pace {
        let taken = self.taken.lock();
        let of_client = taken.by_client.get(&client).and_then(|share| share.short_until);
        let until = taken.short_until.max(of_client);
        if until.is_some_and(|until| Instant::now() < until) { FAIR } else { EASY }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.semaphore.taken.lock();
        taken.free += 1;
        if let Some(share) = taken.by_client.get_mut(&self.client) {
            share.held -= 1;
            if share.held == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        drop(taken);
        // Only the waiting callers know whether their client's share has room.
        self.semaphore.given_back.notify_waiters();
    }
}

/// The permit of one request, taken when the request needs it.
pub struct LazyPermit {
    semaphore: Arc<FairSemaphore>,
    client: Client,
    permit: OnceLock<Permit>,
}

impl LazyPermit {
    pub fn new(semaphore: Arc<FairSemaphore>, client: Client) -> Arc<Self> {
        Arc::new(Self { semaphore, client, permit: OnceLock::new() })
    }

    /// Takes the permit, unless the request has it already; `false` if none is free.
    pub async fn take(&self) -> bool {
        if self.permit.get().is_none() {
            let Some(permit) = self.semaphore.take(self.client).await else { return false };
            // One request takes its permits one after the other.
            let _ = self.permit.set(permit);
        }
        true
    }

    /// Returns the pace that the request must keep up.
    pub fn least_pace(&self) -> Pace {
        match self.permit.get() {
            Some(_) => self.semaphore.least_pace(self.client),
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

    /// Takes as many permits as the client can have.
    fn all(semaphore: &Arc<FairSemaphore>, client: Client) -> Vec<Permit> {
        std::iter::from_fn(|| semaphore.try_take(client)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_never_has_all() {
        let semaphore = FairSemaphore::new(64);

        let shares: Vec<Vec<Permit>> = (1..=7).map(|number| all(&semaphore, client(number))).collect();

        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [32, 16, 8, 4, 2, 1, 1]);
        assert!(semaphore.take(client(8)).await.is_none());
        drop(shares);
        assert_eq!(all(&semaphore, client(8)).len(), 32);
        assert!(semaphore.taken.lock().by_client.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_is_taken_by_who_waits() {
        let semaphore = FairSemaphore::new(1);
        let only = semaphore.take(client(1)).await.unwrap();

        let (waited, ()) = tokio::join!(semaphore.take(client(2)), async {
            tokio::time::sleep(WAIT / 2).await;
            drop(only);
        });

        assert!(waited.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_place_is_missing_a_fair_pace_is_expected() {
        let semaphore = FairSemaphore::new(4);
        let [one, two] = [1, 2].map(client);
        let permit = LazyPermit::new(semaphore.clone(), two);
        assert!(permit.take().await);
        let held = all(&semaphore, one);
        // The client's share is taken; other clients are not affected.
        assert_eq!((held.len(), semaphore.least_pace(one), permit.least_pace()), (2, FAIR, EASY));

        tokio::time::advance(SHORT).await;
        assert_eq!(semaphore.least_pace(one), EASY);

        let last = semaphore.take(client(3)).await;
        assert!(last.is_some() && semaphore.take(client(4)).await.is_none());
        assert_eq!((semaphore.least_pace(one), permit.least_pace()), (FAIR, FAIR));
        assert_eq!(LazyPermit::new(semaphore, one).least_pace(), EASY);
    }
}
