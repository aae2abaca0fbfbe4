//! Tests the slots against receivers that record when requests arrive, in simulated time.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
const CALL: Duration = Duration::from_secs(10);

fn rule(rate: u32) -> RateRule {
    RateRule { rate, call: CALL }
}

fn at(seconds: f64) -> Moment {
    Moment((seconds * SECOND as f64).round() as u64)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn wait(seconds: f64) -> Turn {
    Turn::Wait(Duration::from_micros(at(seconds).0))
}

/// Creates slots that are known to be free.
fn fresh() -> Slots {
    Slots { closed_until: Some(Moment(0)), ..Slots::missing() }
}

#[test]
fn a_slot_rests_after_its_reply_and_who_waits_is_told_for_how_long() {
    let (rule, table, mut slots) = (rule(2), id(1), fresh());

    assert_eq!(slots.take(at(1.0), true, rule, table, id(10)), Turn::Now);
    assert_eq!(slots.take(at(1.0), true, rule, table, id(11)), Turn::Now);
    assert_eq!(slots.take(at(1.0), true, rule, table, id(12)), wait(1.0));
    slots.rest(at(1.5), id(11));

    assert_eq!(slots.take(at(2.0), true, rule, table, id(12)), wait(0.505));
    assert_eq!(slots.take(at(2.505), true, rule, table, id(12)), Turn::Now);
}

#[test]
fn a_grant_that_was_not_used_is_free_at_once() {
    let (rule, table, mut slots) = (rule(1), id(1), fresh());
    assert_eq!(slots.take(at(1.0), true, rule, table, id(10)), Turn::Now);

    slots.taken.remove(&id(10));

    assert_eq!(slots.take(at(1.0), true, rule, table, id(11)), Turn::Now);
}

#[test]
fn a_slot_whose_process_died_lapses() {
    let (rule, table, mut slots) = (rule(1), id(1), fresh());
    assert_eq!(slots.take(at(1.0), true, rule, table, id(10)), Turn::Now);

    assert_eq!(slots.take(at(12.5), true, rule, table, id(11)), wait(0.505));
    assert_eq!(slots.take(at(13.005), true, rule, table, id(11)), Turn::Now);
}

#[test]
fn without_a_state_shared_slots_stay_shut_until_all_must_have_arrived_and_others_for_a_rest() {
    let (rule, table) = (rule(1), id(1));

    let mut shared = Slots::missing();
    assert_eq!(shared.take(at(100.0), true, rule, table, id(10)), wait(12.005));
    assert_eq!(shared.take(at(112.0), true, rule, table, id(10)), wait(0.005));
    assert_eq!(shared.take(at(112.005), true, rule, table, id(10)), Turn::Now);

    let mut own = Slots::missing();
    assert_eq!(own.take(at(0.5), false, rule, table, id(10)), wait(0.505));
    assert_eq!(Slots::missing().take(at(1.005), false, rule, table, id(10)), Turn::Now);
}

#[test]
fn who_stopped_asking_holds_nobody_up() {
    let (rule, mut slots) = (rule(1), fresh());
    assert_eq!(slots.take(at(1.0), true, rule, id(1), id(10)), Turn::Now);
    slots.rest(at(1.0), id(10));
    assert_eq!(slots.take(at(1.1), true, rule, id(2), id(20)), wait(0.905));

    // The other table is next, and does not ask.
    assert!(matches!(slots.take(at(2.1), true, rule, id(1), id(11)), Turn::Wait(_)));
    assert_eq!(slots.take(at(3.2), true, rule, id(1), id(11)), Turn::Now);
}

/// The behaviour of network and processes.
#[derive(Debug, Clone, Copy)]
struct World {
    tables: u32,
    /// The longest time from a grant to the arrival, and from there to the reply.
    there: Duration,
    back: Duration,
    /// The percentage of requests that are never heard of again.
    lost: u32,
    /// The duration of asking itself.
    asking: Duration,
}

/// Runs tables that always have something to send. Returns the arrivals, with their tables. The state is lost at each of `wipes`.
fn run(rule: RateRule, world: World, seconds: u64, wipes: &[Moment], seed: u64) -> Vec<(Moment, Uuid)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut between = |most: Duration| Duration::from_micros(random.u64(..=most.as_micros() as u64));
    let mut chance = fastrand::Rng::with_seed(seed ^ 1);
    let (mut slots, mut wipes, mut arrivals) = (fresh(), wipes.to_vec(), Vec::new());
    // The next events: a table asks, or a request was answered.
    let mut events: BTreeMap<(Moment, u32), (u32, Option<Uuid>)> =
        (0..world.tables).map(|table| ((Moment(0), table), (table, None))).collect();
    let mut next = world.tables;
    while let Some(((now, _), (table, answered))) = events.pop_first() {
        if now.0 > seconds * SECOND {
            break;
        }
        if wipes.first().is_some_and(|wipe| *wipe <= now) {
            wipes.remove(0);
            slots = Slots::missing();
        }
        let (name, request) = (id(table.into()), id(next.into()));
        let mut then = |when: Moment, what| {
            next += 1;
            events.insert((when, next), what);
        };
        if let Some(request) = answered {
            slots.rest(now, request);
            continue;
        }
        match slots.take(now, true, rule, name, request) {
            Turn::Now => {
                let arrived = now.after(between(world.there));
                arrivals.push((arrived, name));
                if chance.u32(..100) >= world.lost {
                    then(arrived.after(between(world.back)), (table, Some(request)));
                }
                then(now.after(world.asking), (table, None));
            }
            Turn::Wait(time) => then(now.after(time + between(world.asking)), (table, None)),
        }
    }
    arrivals.sort();
    arrivals
}

/// Returns the shortest time within which more requests than the rate arrived.
fn tightest(arrivals: &[(Moment, Uuid)], rate: u32) -> Duration {
    let windows = arrivals.windows(rate as usize + 1);
    windows.map(|window| window[rate as usize].0.since(window[0].0)).min().unwrap_or(Duration::MAX)
}

proptest! {
    #[test]
    fn the_rate_is_never_exceeded(
        rate in 1_u32..20, tables in 1_u32..5, there in 0_u64..11_000, back in 0_u64..10_000, lost in 0_u32..30,
        asking in 1_u64..50, wipes in proptest::collection::vec(0_u64..100, 0..3), seed: u64,
    ) {
        let mut wipes: Vec<Moment> = wipes.into_iter().map(|second| Moment(second * SECOND)).collect();
        wipes.sort();
        // The second in which a grant may be used, and the time-out of a call, together.
        let back = back.min(11_000 - there);
        let (there, back) = (Duration::from_millis(there), Duration::from_millis(back));
        let world = World { tables, there, back, lost, asking: Duration::from_millis(asking) };

        let arrivals = run(rule(rate), world, 100, &wipes, seed);

        let tightest = tightest(&arrivals, rate);
        prop_assert!(tightest > Duration::from_secs(1), "{tightest:?}");
    }

    #[test]
    fn the_rate_is_used_up(rate in 1_u32..20, tables in 1_u32..5, seed: u64) {
        let world =
            World { tables, there: Duration::ZERO, back: Duration::ZERO, lost: 0, asking: Duration::from_millis(1) };

        let arrivals = run(rule(rate), world, 100, &[], seed);

        prop_assert!(arrivals.len() >= rate as usize * 98, "{} arrived", arrivals.len());
    }

    #[test]
    fn tables_have_equal_parts(rate in 1_u32..20, tables in 2_u32..6, latency in 0_u64..500, seed: u64) {
        let latency = Duration::from_millis(latency);
        let world = World { tables, there: latency, back: latency, lost: 0, asking: Duration::from_millis(2) };

        let arrivals = run(rule(rate), world, 100, &[], seed);

        let of = |table: u32| arrivals.iter().filter(|(_, name)| *name == id(table.into())).count();
        let parts: Vec<usize> = (0..tables).map(of).collect();
        let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
        prop_assert!(most - least <= most / 10 + 2, "{parts:?}");
    }
}
