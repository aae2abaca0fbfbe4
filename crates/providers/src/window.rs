//! The free provider's rule: a number of requests, then a block, then again.

use std::time::{Duration, Instant};

/// A window of N requests; the block begins when the N-th is accepted, not when it is answered.
#[derive(Debug)]
pub struct Window {
    requests: u32,
    block: Duration,
    /// Requests accepted since the last block ended.
    accepted: u32,
    blocked_until: Option<Instant>,
    most: u32,
}

/// A request was refused because of a block, which lasts that much longer.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocked(pub Duration);

impl Window {
    /// Creates a window that is open and has accepted nothing. `requests` is at least 1.
    pub const fn new(requests: u32, block: Duration) -> Self {
        Self { requests, block, accepted: 0, blocked_until: None, most: 0 }
    }

    /// Decides on a request that arrives at that moment. Moments never go back.
    ///
    /// # Errors
    /// [`Blocked`], if it is refused.
    pub fn take(&mut self, now: Instant) -> Result<(), Blocked> {
        if let Some(until) = self.blocked_until {
            if now < until {
                return Err(Blocked(until - now));
            }
            self.blocked_until = None;
            self.accepted = 0;
        }
        self.accepted += 1;
        self.most = self.most.max(self.accepted);
        if self.accepted >= self.requests {
            self.blocked_until = Some(now + self.block);
        }
        Ok(())
    }

    /// Returns how many requests it would accept from that moment on.
    pub fn remaining(&self, now: Instant) -> u32 {
        match self.blocked_until {
            Some(until) if now < until => 0,
            Some(_) => self.requests,
            None => self.requests - self.accepted,
        }
    }

    /// Returns how long it is still blocked; zero when it is open.
    pub fn blocked_for(&self, now: Instant) -> Duration {
        self.blocked_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Returns the most requests accepted between two ends of blocks.
    pub const fn most(&self) -> u32 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: Duration = Duration::from_secs(60);

    #[test]
    fn nothing_is_refused_before_the_nth() {
        let (mut window, now) = (Window::new(100, BLOCK), Instant::now());

        for taken in 0..100 {
            assert_eq!(window.remaining(now), 100 - taken);
            assert_eq!(window.blocked_for(now), Duration::ZERO);
            assert_eq!(window.take(now), Ok(()));
        }

        assert_eq!((window.remaining(now), window.blocked_for(now)), (0, BLOCK));
    }

    #[test]
    fn the_block_begins_at_the_nth_and_the_count_begins_anew_after_it() {
        let (mut window, start) = (Window::new(3, BLOCK), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);

        for round in 0..3 {
            let begin = round * 1000;
            assert_eq!(window.take(at(begin)), Ok(()));
            assert_eq!(window.take(at(begin + 100)), Ok(()));
            assert_eq!(window.take(at(begin + 200)), Ok(()));

            assert_eq!(window.take(at(begin + 200)), Err(Blocked(BLOCK)));
            assert_eq!(window.take(at(begin + 259)), Err(Blocked(Duration::from_secs(1))));
            assert_eq!(window.remaining(at(begin + 260)), 3);
        }
        assert_eq!(window.most(), 3);
    }

    proptest! {
        #[test]
        fn never_more_than_n_between_the_ends_of_two_blocks(
            requests in 1_u32..8,
            block in 1_u64..50,
            pauses in prop::collection::vec(0_u64..30, 1..200),
        ) {
            let (mut window, mut now) = (Window::new(requests, Duration::from_millis(block)), Instant::now());
            let (mut accepted, mut block_ends) = (0, None);
            for pause in pauses {
                now += Duration::from_millis(pause);
                if block_ends.is_some_and(|end| now >= end) {
                    (accepted, block_ends) = (0, None);
                }
                let is_taken = window.take(now).is_ok();
                prop_assert_eq!(is_taken, block_ends.is_none());
                accepted += u32::from(is_taken);
                prop_assert!(accepted <= requests);
                if is_taken && accepted == requests {
                    block_ends = Some(now + Duration::from_millis(block));
                }
            }
            prop_assert!(window.most() <= requests);
        }
    }
}
