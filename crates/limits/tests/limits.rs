//! The promises of the port `Limits`, checked against every adapter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures::future::join_all;
use limits::rate::{self, Turn};
use limits::window::{Entry, Fate, Standing, WindowRule};
use limits::{Limits, StoredState, local::LocalLimits, redis::RedisLimits};
use redis::Client;
use rstest_reuse::{apply, template};
use test_kit::{eventually, servers};
use uuid::Uuid;

/// A promise, as one test an adapter.
#[template]
#[rstest::rstest]
#[case::local(Arc::new(LocalLimits::new()))]
#[case::redis(Arc::new(redis_at(&servers().redis())))]
#[tokio::test]
async fn all_limits(#[case] limits: Arc<dyn Limits>) {}

fn redis_at(url: &str) -> RedisLimits {
    RedisLimits::new(Client::open(url).unwrap(), "0123456789ab")
}

const MINUTE: Duration = Duration::from_secs(60);

/// Adds one to the number under a name.
async fn add_one(limits: &dyn Limits, name: &str) {
    limits
        .change(name, &mut |_, bytes| {
            let number: u32 = bytes.map_or(0, |bytes| std::str::from_utf8(bytes).unwrap().parse().unwrap());
            Some(StoredState { bytes: (number + 1).to_string().into_bytes(), keep_for: MINUTE })
        })
        .await
        .unwrap();
}

/// Returns the value that is kept under a name, as text.
async fn kept(limits: &dyn Limits, name: &str) -> Option<String> {
    let mut kept = None;
    let look = &mut |_, bytes: Option<&[u8]>| {
        kept = bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        None
    };
    limits.change(name, look).await.unwrap();
    kept
}

#[apply(all_limits)]
async fn a_state_is_what_the_last_step_made_it(limits: Arc<dyn Limits>) {
    assert_eq!(kept(&*limits, "a").await, None);

    add_one(&*limits, "a").await;
    add_one(&*limits, "a").await;
    add_one(&*limits, "b").await;

    assert_eq!(kept(&*limits, "a").await.as_deref(), Some("2"));
    assert_eq!(kept(&*limits, "b").await.as_deref(), Some("1"));
}

#[apply(all_limits)]
async fn no_step_is_lost_among_many(limits: Arc<dyn Limits>) {
    join_all((0..200).map(|_| add_one(&*limits, "a"))).await;

    assert_eq!(kept(&*limits, "a").await.as_deref(), Some("200"));
}

#[apply(all_limits)]
async fn a_state_goes_when_it_need_not_be_kept(limits: Arc<dyn Limits>) {
    let keep_for = Duration::from_millis(1);
    limits.change("a", &mut |_, _| Some(StoredState { bytes: b"1".to_vec(), keep_for })).await.unwrap();

    eventually("it is gone", async || kept(&*limits, "a").await.is_none().then_some(())).await;
}

#[apply(all_limits)]
async fn the_clock_goes_on(limits: Arc<dyn Limits>) {
    let mut times = Vec::new();
    for _ in 0..100 {
        limits
            .change("a", &mut |now, _| {
                times.push(now);
                None
            })
            .await
            .unwrap();
    }

    assert!(times.is_sorted() && times[0] < times[99]);
}

#[apply(all_limits)]
async fn attempts_are_counted_until_their_while_is_over(limits: Arc<dyn Limits>) {
    assert_eq!(limits.counted("a").await.unwrap().count, 0);
    for count in 1..=3 {
        let counted = limits.count("a", MINUTE).await.unwrap();
        assert_eq!(counted.count, count);
        assert!(counted.resets_in <= MINUTE && counted.resets_in > MINUTE / 2);
    }
    assert_eq!(limits.counted("a").await.unwrap().count, 3);
    assert_eq!(limits.count("b", Duration::from_millis(1)).await.unwrap().count, 1);

    limits.forget("a").await.unwrap();

    assert_eq!(limits.counted("a").await.unwrap().count, 0);
    eventually("the count has begun anew", async || {
        (limits.counted("b").await.unwrap().count == 0).then_some(())
    })
    .await;
}

/// Sends until the provider is full; the number sent, and how long it is blocked.
async fn fill(limits: &dyn Limits, rule: WindowRule) -> (u32, Duration) {
    let mut sent = 0;
    loop {
        let id = Uuid::new_v4();
        match limits.enter("free", rule, id, MINUTE).await.unwrap() {
            Entry::Open => sent += 1,
            Entry::Blocked { opens_in } => return (sent, opens_in),
            Entry::Busy => panic!("nobody else asks"),
        }
        limits.leave("free", id, Fate::Taken).await.unwrap();
    }
}

#[apply(all_limits)]
async fn a_provider_is_full_after_its_requests_and_opens_after_its_block(limits: Arc<dyn Limits>) {
    let rule = WindowRule { requests: 3, block: Duration::from_millis(200) };
    assert_eq!(limits.standing("free").await.unwrap(), Standing::Unknown);

    let (sent, opens_in) = fill(&*limits, rule).await;

    assert_eq!(sent, 3);
    assert!(opens_in <= rule.block);
    eventually("it is open again", async || {
        (limits.standing("free").await.unwrap() == Standing::Open { remaining: 3 }).then_some(())
    })
    .await;
    assert_eq!(fill(&*limits, rule).await.0, 3);
}

#[apply(all_limits)]
async fn slots_are_granted_up_to_the_rate(limits: Arc<dyn Limits>) {
    let (rule, table) = (rate::RateRule { rate: 2, call: Duration::ZERO }, Uuid::new_v4());
    let [first, second, third] = [(); 3].map(|()| Uuid::new_v4());
    let take = async |request| limits.take("third-party", rule, table, request).await.unwrap();
    eventually("what may have been under way before has arrived", async || {
        (take(first).await == Turn::Now).then_some(())
    })
    .await;

    assert_eq!(take(second).await, Turn::Now);
    assert!(matches!(take(third).await, Turn::Wait(_)));
    limits.give_back("third-party", first).await.unwrap();
    assert_eq!(take(third).await, Turn::Now);
    limits.rest("third-party", second).await.unwrap();

    eventually("a slot has rested", async || (take(first).await == Turn::Now).then_some(())).await;
}

#[tokio::test]
async fn processes_share_a_window() {
    let url = servers().redis();
    let processes: Vec<Arc<dyn Limits>> =
        (0..4).map(|_| Arc::new(redis_at(&url)) as Arc<dyn Limits>).collect();
    let rule = WindowRule { requests: 50, block: MINUTE };
    // Where the provider stands is known from a refusal that is over at once.
    processes[0]
        .leave("free", Uuid::nil(), Fate::Refused { retry_after: Some(Duration::ZERO) })
        .await
        .unwrap();
    let entered = AtomicU32::new(0);

    join_all((0..100).map(|number| {
        let (limits, entered) = (processes[number % 4].clone(), &entered);
        async move {
            match limits.enter("free", rule, Uuid::new_v4(), MINUTE).await.unwrap() {
                Entry::Open => entered.fetch_add(1, Relaxed),
                Entry::Blocked { .. } => 0,
                Entry::Busy => panic!("it is known where it stands"),
            };
        }
    }))
    .await;

    assert_eq!(entered.into_inner(), 50);
}

#[tokio::test]
async fn a_redis_that_is_away_is_an_error() {
    let limits: Arc<dyn Limits> = Arc::new(redis_at("redis://127.0.0.1:9"));

    limits.count("a", MINUTE).await.unwrap_err();
}

#[tokio::test]
async fn deployments_that_share_a_redis_count_apart() {
    let client = Client::open(servers().redis()).unwrap();
    let [ours, theirs]: [Arc<dyn Limits>; 2] = ["000000000001", "000000000002"]
        .map(|id| Arc::new(RedisLimits::new(client.clone(), id)) as Arc<dyn Limits>);

    ours.count("a", MINUTE).await.unwrap();

    assert_eq!(theirs.counted("a").await.unwrap().count, 0);
    assert_eq!(ours.counted("a").await.unwrap().count, 1);
}
