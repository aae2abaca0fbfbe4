//! Tests the window against a provider that keeps the rule, in simulated time.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
const LAPSE: Duration = Duration::from_secs(10);

fn rule(requests: u32, seconds: u64) -> WindowRule {
    WindowRule { requests, block: Duration::from_secs(seconds) }
}

fn at(seconds: f64) -> Moment {
    Moment((seconds * SECOND as f64) as u64)
}

/// Creates a window of a provider that is known to have received none.
fn fresh(rule: WindowRule) -> Window {
    Window { rule: Some(rule), sent: 0, is_unsure: false, ..Window::missing() }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn blocked(seconds: f64) -> Entry {
    Entry::Blocked { opens_in: Duration::from_micros((seconds * SECOND as f64) as u64) }
}

#[test]
fn a_window_is_blocked_from_its_last_answer_on() {
    let rule = rule(2, 60);
    let mut window = fresh(rule);

    assert_eq!(window.enter(at(1.0), rule, id(1), LAPSE), Entry::Open);
    assert_eq!(window.enter(at(1.0), rule, id(2), LAPSE), Entry::Open);
    assert_eq!(window.enter(at(1.5), rule, id(3), LAPSE), blocked(60.0));
    window.leave(at(2.0), id(2), Fate::Taken);
    window.leave(at(3.0), id(1), Fate::Taken);

    assert_eq!(window.enter(at(4.0), rule, id(3), LAPSE), blocked(59.0));
    assert_eq!(window.standing(at(63.0)), Standing::Open { remaining: 2 });
    assert_eq!(window.enter(at(63.0), rule, id(3), LAPSE), Entry::Open);
    assert_eq!(window.standing(at(63.0)), Standing::Open { remaining: 1 });
}

#[test]
fn a_request_that_was_never_sent_gives_its_place_back() {
    let rule = rule(1, 60);
    let mut window = fresh(rule);
    assert_eq!(window.enter(at(1.0), rule, id(1), LAPSE), Entry::Open);

    window.leave(at(2.0), id(1), Fate::Unsent);

    assert_eq!(window.enter(at(2.0), rule, id(2), LAPSE), Entry::Open);
}

#[test]
fn a_refusal_is_believed() {
    let rule = rule(5, 60);
    let mut window = fresh(rule);
    for number in 1..=3 {
        assert_eq!(window.enter(at(1.0), rule, id(number), LAPSE), Entry::Open);
    }

    let retry_after = Some(Duration::from_secs(7));
    window.leave(at(2.0), id(1), Fate::Refused { retry_after });
    window.leave(at(2.5), id(2), Fate::Refused { retry_after: Some(Duration::from_secs(6)) });
    window.leave(at(2.5), id(3), Fate::Taken);

    assert_eq!(window.enter(at(3.0), rule, id(4), LAPSE), blocked(6.0));
    assert_eq!(window.standing(at(9.0)), Standing::Open { remaining: 5 });
}

#[test]
fn where_nothing_is_known_requests_go_one_at_a_time() {
    let rule = rule(3, 60);
    let mut window = Window::missing();
    for number in 1..=3 {
        let now = at(number as f64);
        assert_eq!(window.enter(now, rule, id(number), LAPSE), Entry::Open);
        assert_eq!(window.enter(now, rule, id(99), LAPSE), Entry::Busy);
        window.leave(now, id(number), Fate::Taken);
    }

    assert_eq!(window.enter(at(4.0), rule, id(4), LAPSE), blocked(59.0));
}

#[test]
fn what_is_counted_is_told_before_it_is_sure() {
    let rule = rule(100, 60);
    let mut window = Window::missing();
    assert_eq!(window.standing(at(0.0)), Standing::Unknown);
    for number in 1..=11 {
        let now = at(number as f64);
        assert_eq!(window.enter(now, rule, id(number), LAPSE), Entry::Open);
        window.leave(now, id(number), Fate::Taken);
        assert_eq!(window.standing(now), Standing::Taking { at_most: 100 - number as u32 });
    }

    // The eleventh request may have begun a block, which is over then.
    assert_eq!(window.standing(at(70.0)), Standing::Taking { at_most: 89 });
    assert_eq!(window.standing(at(71.0)), Standing::Taking { at_most: 100 });
    assert_eq!(window.enter(at(72.0), rule, id(12), LAPSE), Entry::Open);
    window.leave(at(72.0), id(12), Fate::Unknown);
    assert_eq!(window.standing(at(72.0)), Standing::Unknown);
}

#[test]
fn a_block_that_may_have_passed_unseen_begins_the_search_anew() {
    let rule = rule(2, 60);
    let mut window = Window::missing();
    for (number, now) in [(1, at(1.0)), (2, at(62.0))] {
        assert_eq!(window.enter(now, rule, id(number), LAPSE), Entry::Open);
        window.leave(now, id(number), Fate::Taken);
    }

    assert_eq!(window.standing(at(63.0)), Standing::Taking { at_most: 1 });
    assert_eq!(window.enter(at(63.0), rule, id(3), LAPSE), Entry::Open);
    window.leave(at(63.0), id(3), Fate::Taken);
    assert_eq!(window.enter(at(64.0), rule, id(4), LAPSE), blocked(59.0));
}

#[test]
fn a_request_whose_process_died_counts_and_leaves_a_doubt() {
    let rule = rule(2, 60);
    let mut window = fresh(rule);
    assert_eq!(window.enter(at(1.0), rule, id(1), LAPSE), Entry::Open);
    assert_eq!(window.enter(at(2.0), rule, id(2), LAPSE), Entry::Open);
    window.leave(at(3.0), id(2), Fate::Taken);

    assert_eq!(window.enter(at(10.0), rule, id(3), LAPSE), blocked(60.0));
    // It may not have been sent at all: then there is room for one.
    assert_eq!(window.enter(at(11.0), rule, id(3), LAPSE), Entry::Open);
    window.leave(at(11.0), id(3), Fate::Refused { retry_after: Some(Duration::from_secs(51)) });
    assert_eq!(window.standing(at(62.0)), Standing::Open { remaining: 2 });
}

/// A provider that keeps the rule.
struct Provider {
    rule: WindowRule,
    taken: u32,
    blocked_until: Moment,
    refused: u32,
}

impl Provider {
    fn receive(&mut self, now: Moment) -> Fate {
        if now < self.blocked_until {
            self.refused += 1;
            // In whole seconds, rounded up, as HTTP requires.
            let seconds = self.blocked_until.since(now).as_secs_f64().ceil();
            return Fate::Refused { retry_after: Some(Duration::from_secs_f64(seconds)) };
        }
        self.taken += 1;
        if self.taken.is_multiple_of(self.rule.requests) {
            self.blocked_until = now.after(self.rule.block);
        }
        Fate::Taken
    }
}

/// A step of a sender in simulated time, which always has something to send.
#[derive(Debug, Clone, Copy)]
enum Step {
    Asks,
    /// The request is allowed, and arrives, unless it gets lost on the way.
    Arrives,
    /// The answer comes back, unless it gets lost.
    Answered(Fate),
}

#[derive(Debug, Clone, Copy)]
struct Chances {
    /// The percentage of requests that never reach the provider, and of those that are accepted and whose answer is lost.
    unsent: u32,
    lost: u32,
}

/// Runs the senders for that time, and returns what the provider saw. The state is lost at each of `wipes`.
fn run(
    rule: WindowRule,
    senders: u32,
    seconds: u64,
    chances: Chances,
    wipes: &[Moment],
    seed: u64,
) -> Provider {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut provider = Provider { rule, taken: 0, blocked_until: Moment(0), refused: 0 };
    let mut window = Window::missing();
    let mut wipes = wipes.to_vec();
    let mut events: BTreeMap<(u64, u32), (Step, Uuid)> =
        (0..senders).map(|sender| ((0, sender), (Step::Asks, id(0)))).collect();
    let mut next = 1;
    while let Some(((now, sender), (step, request))) = events.pop_first() {
        let now = Moment(now);
        if now.0 > seconds * SECOND {
            break;
        }
        // Only between requests: the provider may refuse each request that is in progress when the state is lost.
        if wipes.first().is_some_and(|wipe| *wipe <= now) && window.under_way.is_empty() {
            wipes.remove(0);
            window = Window::missing();
        }
        let latency = Duration::from_micros(random.u64(100..50_000));
        let mut after = |pause: Duration, step, request| {
            events.insert((now.after(pause).0, sender), (step, request));
        };
        match step {
            Step::Asks => match window.enter(now, rule, id(next), LAPSE) {
                Entry::Open => {
                    after(latency, Step::Arrives, id(next));
                    next += 1;
                }
                Entry::Blocked { opens_in } => {
                    after(opens_in.min(Duration::from_secs(1)), Step::Asks, request)
                }
                Entry::Busy => after(Duration::from_millis(2), Step::Asks, request),
            },
            Step::Arrives if random.u32(..100) < chances.unsent => {
                after(latency, Step::Answered(Fate::Unsent), request)
            }
            Step::Arrives => {
                let fate = provider.receive(now);
                // A refusal whose answer is lost would be followed by a second one.
                let is_lost = fate == Fate::Taken && random.u32(..100) < chances.lost;
                after(latency, Step::Answered(if is_lost { Fate::Unknown } else { fate }), request);
            }
            Step::Answered(fate) => {
                window.leave(now, request, fate);
                after(Duration::from_micros(1), Step::Asks, request);
            }
        }
    }
    provider
}

proptest! {
    #[test]
    fn none_is_refused_and_each_window_is_used_up(
        requests in 1_u32..20, block in 1_u64..5, senders in 1_u32..12, unsent in 0_u32..30, seed: u64,
    ) {
        let rule = rule(requests, block);

        let provider = run(rule, senders, 100, Chances { unsent, lost: 0 }, &[], seed);

        prop_assert_eq!(provider.refused, 0);
        // Even one after the other, at 2 × 50 ms each and some in vain, and with the wait for the next check.
        let cycle = block as f64 + f64::from(requests) * 0.15 / (1.0 - f64::from(unsent) / 100.0) + 0.2;
        let windows = (100.0 / cycle).floor() - 1.0;
        prop_assert!(f64::from(provider.taken) >= windows * f64::from(requests), "{} of {windows}", provider.taken);
    }

    #[test]
    fn each_loss_of_the_state_costs_one_refusal_at_most(
        requests in 1_u32..20, block in 1_u64..5, senders in 1_u32..12, seed: u64,
        wipes in proptest::collection::vec(0_u64..100, 0..4),
    ) {
        let mut wipes: Vec<Moment> = wipes.into_iter().map(|second| Moment(second * SECOND)).collect();
        wipes.sort();

        let provider = run(rule(requests, block), senders, 100, Chances { unsent: 0, lost: 0 }, &wipes, seed);

        prop_assert!(provider.refused as usize <= wipes.len(), "{} refused", provider.refused);
    }

    #[test]
    fn lost_answers_cost_one_refusal_a_window_at_most(
        requests in 1_u32..20, block in 1_u64..5, senders in 1_u32..12, lost in 1_u32..30, seed: u64,
    ) {
        let rule = rule(requests, block);

        let provider = run(rule, senders, 100, Chances { unsent: 0, lost }, &[], seed);

        let windows = provider.taken.div_ceil(requests);
        prop_assert!(provider.refused <= windows, "{} refused in {windows} windows", provider.refused);
    }
}
