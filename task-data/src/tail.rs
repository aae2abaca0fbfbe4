//! Reads the feed of outcomes for many readers: one query for all that have come to its end.
//!
//! One task of the process numbers and reads what is new, as soon as a wake arrives and each second, and keeps the newest outcomes in
//! memory. A reader behind these reads the store itself. Without readers nothing is read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use database::UserId;
use parking_lot::Mutex;
use tokio::sync::{Notify as Signal, Semaphore, SemaphorePermit, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::debug;

use crate::metrics;
use crate::store::{Outcome, Place, Store, StoreError};
use crate::task::TaskId;

/// The interval at which the feed is read, since wakes may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// How long ends gather before they are read together.
const GATHER: Duration = Duration::from_millis(10);
/// How long the feed is still read after the last reader has gone: one that polls comes again.
const LINGER: Duration = Duration::from_secs(30);
/// The most outcomes in memory, and the most that are read by one query.
const KEPT: usize = 4096;
const PAGE: i64 = 1000;
/// The most readers that read the store at a time.
const TURNS: usize = 4;
/// The most rows that are numbered by one statement.
pub(crate) const NUMBERS: i64 = 1000;
/// How long another process that numbers is waited for, and how often.
const BUSY: Duration = Duration::from_millis(5);
const BUSY_TIMES: u32 = 200;

/// Numbers all committed rows of the feed, and returns true; false, with the rest left to that process, if another one numbers for a second.
///
/// # Errors
/// If the store fails.
pub(crate) async fn number_all(store: &dyn Store) -> Result<bool, StoreError> {
    let mut times_busy = 0;
    loop {
        match store.number_outcomes(NUMBERS).await? {
            Some(count) if count < NUMBERS => return Ok(true),
            Some(_) => times_busy = 0,
            None if times_busy == BUSY_TIMES => return Ok(false),
            None => {
                times_busy += 1;
                sleep(BUSY).await;
            }
        }
    }
}

/// The end of the feed, as far as this process knows it.
pub struct Tail {
    store: Arc<dyn Store>,
    newest: Mutex<Newest>,
    /// The place up to which the feed was read; `None` while it is not.
    end: watch::Sender<Option<Place>>,
    reader_came: Signal,
    /// Turns to read the store, so that thousands of readers that come together wait for each other and not for a connection.
    turns: Semaphore,
}

/// Outcomes in memory: all those after a place, up to the feed's end.
#[derive(Default)]
struct Newest {
    /// `None` while the feed is not read.
    after: Option<Place>,
    until: Option<Place>,
    outcomes: VecDeque<Outcome>,
}

impl Tail {
    /// Starts the one task that reads for all readers, on the current runtime.
    pub(crate) fn start(store: Arc<dyn Store>, wakes: broadcast::Receiver<TaskId>) -> Arc<Self> {
        let (newest, end) = (Mutex::default(), watch::Sender::new(None));
        let (reader_came, turns) = (Signal::new(), Semaphore::new(TURNS));
        let tail = Arc::new(Self { store, newest, end, reader_came, turns });
        tokio::spawn(tail.clone().run(wakes));
        tail
    }

    /// Returns the place before the oldest outcome that is kept.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn oldest(&self) -> Result<Place, StoreError> {
        let _turn = self.turn().await;
        Ok(self.store.feed_range().await?.pruned)
    }

    /// Returns the place after the newest outcome: everything that ends from now on comes after it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn now(&self) -> Result<Place, StoreError> {
        let _turn = self.turn().await;
        number_all(&*self.store).await?;
        Ok(Place::before(self.store.feed_range().await?.next))
    }

    /// Returns whether all outcomes after a place are in memory.
    pub fn has_in_memory(&self, place: Place) -> bool {
        self.newest.lock().after.is_some_and(|after| after <= place)
    }

    /// Begins to read after a place: the outcomes of one owner, or all.
    pub fn reader(self: &Arc<Self>, after: Place, owner: Option<UserId>) -> OutcomeReader {
        metrics::waiter_came();
        let end = self.end.subscribe();
        self.reader_came.notify_one();
        OutcomeReader { tail: self.clone(), after, owner, end }
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    async fn run(self: Arc<Self>, mut wakes: broadcast::Receiver<TaskId>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wanted_at = Instant::now();
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = self.reader_came.notified() => {}
                woken = wakes.recv() => match woken {
                    Err(broadcast::error::RecvError::Closed) => return,
                    // Which task it was doesn't matter.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                },
            }
            if self.end.receiver_count() > 0 {
                wanted_at = Instant::now();
            } else if !self.is_read() {
                continue;
            } else if wanted_at.elapsed() > LINGER {
                *self.newest.lock() = Newest::default();
                self.end.send_replace(None);
                continue;
            }
            sleep(GATHER).await;
            while wakes.try_recv().is_ok() {}
            if let Err(error) = self.read().await {
                debug!(%error, "the feed of outcomes could not be read; trying again");
            }
        }
    }

    fn is_read(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Reads what is new.
    async fn read(&self) -> Result<(), StoreError> {
        let until = *self.end.borrow();
        let Some(mut until) = until else {
            let now = self.now().await?;
            *self.newest.lock() = Newest { after: Some(now), until: Some(now), outcomes: VecDeque::new() };
            self.end.send_replace(Some(now));
            return Ok(());
        };
        number_all(&*self.store).await?;
        loop {
            let page = self.store.outcomes(until, None, PAGE).await?;
            if until < page.pruned {
                // Retention was faster: readers that are behind read the store, and learn it there.
                until = page.pruned;
                *self.newest.lock() =
                    Newest { after: Some(until), until: Some(until), outcomes: VecDeque::new() };
            }
            if page.until > until {
                until = page.until;
                self.newest.lock().extend(page.outcomes, until);
                self.end.send_replace(Some(until));
            }
            if page.is_end {
                return Ok(());
            }
        }
    }
}

impl Newest {
    fn extend(&mut self, outcomes: Vec<Outcome>, until: Place) {
        self.outcomes.extend(outcomes);
        self.until = Some(until);
        while self.outcomes.len() > KEPT {
            self.after = self.outcomes.pop_front().map(|outcome| outcome.place);
        }
    }

    /// Returns up to `limit` outcomes after a place, and the place up to which they are complete; `None` if those after it are not in
    /// memory.
    fn since(&self, after: Place, owner: Option<UserId>, limit: usize) -> Option<(Vec<Outcome>, Place)> {
        let (first, mut until) = self.after.zip(self.until)?;
        if after < first {
            return None;
        }
        let begin = self.outcomes.partition_point(|outcome| outcome.place <= after);
        let mut found = Vec::new();
        for outcome in self.outcomes.range(begin..) {
            if owner.is_none() || outcome.owner == owner {
                if found.len() == limit {
                    break;
                }
                found.push(outcome.clone());
            }
        }
        if let Some(last) = found.last().filter(|_| found.len() == limit) {
            until = last.place;
        }
        Some((found, until.max(after)))
    }
}

/// Why a reader got no outcomes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Outcomes after its cursor were deleted; this is the place before the oldest one that is kept.
    #[error("outcomes after the cursor were deleted; the oldest that is kept comes after {0}")]
    Expired(Place),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A reader of the feed, with its cursor: gets every outcome after it exactly once, in the feed's order.
pub struct OutcomeReader {
    tail: Arc<Tail>,
    after: Place,
    owner: Option<UserId>,
    end: watch::Receiver<Option<Place>>,
}

impl Drop for OutcomeReader {
    fn drop(&mut self) {
        metrics::waiter_left();
    }
}

impl OutcomeReader {
    /// Returns the cursor: there is nothing for this reader between what it was given and this place.
    pub fn place(&self) -> Place {
        self.after
    }

    /// Returns up to `limit` of the next outcomes; none if all that has ended before the call was read.
    ///
    /// # Errors
    /// If outcomes after the cursor were deleted, or the store fails.
    ///
    /// # Cancel safety
    /// Outcomes that were not returned are returned by the next call.
    pub async fn page(&mut self, limit: usize) -> Result<Vec<Outcome>, ReadError> {
        // The newest outcomes may not be in memory yet, so only a full page is taken from there.
        let newest = self.tail.newest.lock().since(self.after, self.owner, limit);
        if let Some((outcomes, until)) = newest.filter(|(outcomes, _)| outcomes.len() == limit) {
            self.after = until;
            return Ok(outcomes);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut is_numbered = false;
        loop {
            let _turn = self.tail.turn().await;
            if !is_numbered {
                number_all(&*self.tail.store).await?;
                is_numbered = true;
            }
            let page = self.tail.store.outcomes(self.after, self.owner, limit).await?;
            if self.after < page.pruned {
                return Err(ReadError::Expired(page.pruned));
            }
            self.after = page.until;
            if page.is_end || !page.outcomes.is_empty() {
                return Ok(page.outcomes);
            }
        }
    }

    /// Returns up to `limit` of the next outcomes as soon as there is one.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    ///
    /// # Cancel safety
    /// As [`page`](Self::page).
    pub async fn next_page(&mut self, limit: usize) -> Result<Vec<Outcome>, ReadError> {
        loop {
            let end = *self.end.borrow_and_update();
            // Not in memory: the feed is not read yet, or this reader is behind.
            let outcomes = match self.take_newest(limit) {
                Some(outcomes) => outcomes,
                None if end.is_none_or(|end| end > self.after) => self.page(limit).await?,
                None => Vec::new(),
            };
            if !outcomes.is_empty() {
                return Ok(outcomes);
            }
            // The tail lives as long as this reader.
            let _ = self.end.changed().await;
        }
    }

    fn take_newest(&mut self, limit: usize) -> Option<Vec<Outcome>> {
        let (outcomes, until) = self.tail.newest.lock().since(self.after, self.owner, limit)?;
        self.after = until;
        Some(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use database::Time;

    use super::*;
    use crate::kinds::Kind;
    use crate::task::Status;

    fn outcome(no: i64, owner: Option<UserId>) -> Outcome {
        Outcome {
            place: Place { no, within: 1 },
            id: TaskId::random(),
            kind: Kind::Md5.into(),
            status: Status::Succeeded,
            owner,
            finished: Time(DateTime::from_timestamp_micros(0).unwrap()),
            detail: None,
            has_blob: false,
        }
    }

    fn numbers(found: Option<(Vec<Outcome>, Place)>) -> Option<(Vec<i64>, i64)> {
        found.map(|(outcomes, until)| (outcomes.iter().map(|outcome| outcome.place.no).collect(), until.no))
    }

    #[test]
    fn memory_has_what_follows_a_place_or_says_that_it_has_not() {
        let ada = UserId::random();
        let begin = Place::before(10);
        let mut newest = Newest { after: Some(begin), until: Some(begin), outcomes: VecDeque::new() };
        let outcomes = (10..20).map(|no| outcome(no, (no % 2 == 0).then_some(ada))).collect();
        newest.extend(outcomes, Place { no: 19, within: 1 });

        let since = |no, owner, limit| numbers(newest.since(Place { no, within: 1 }, owner, limit));
        assert_eq!(numbers(Newest::default().since(begin, None, 3)), None);
        assert_eq!(since(9, None, 3), None);
        assert_eq!(numbers(newest.since(begin, None, 3)), Some((vec![10, 11, 12], 12)));
        assert_eq!(since(17, None, 3), Some((vec![18, 19], 19)));
        assert_eq!(since(15, Some(ada), 2), Some((vec![16, 18], 18)));
        assert_eq!(since(18, Some(ada), 2), Some((vec![], 19)));
        assert_eq!(since(30, None, 2), Some((vec![], 30)));
    }

    #[test]
    fn the_oldest_leave_memory_first() {
        let begin = Place::before(1);
        let mut newest = Newest { after: Some(begin), until: Some(begin), outcomes: VecDeque::new() };
        let count = KEPT as i64 + 2;
        newest.extend((1..=count).map(|no| outcome(no, None)).collect(), Place { no: count, within: 1 });

        assert_eq!(numbers(newest.since(Place { no: 1, within: 1 }, None, 1)), None);
        assert_eq!(numbers(newest.since(Place { no: 2, within: 1 }, None, 1)), Some((vec![3], 3)));
    }
}
