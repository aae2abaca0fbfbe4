//! Servers that are reached over TLS: the broker and Redis. PostgreSQL's is negotiated, and tested with its `sslmode`.

use serde_json::Value;
use test_kit::{eventually, servers};

use crate::kit::program::stderr_of;
use crate::kit::proxy::host;
use crate::kit::stack::{Running, Stack};
use crate::kit::tls::{Front, certificate};

/// Starts a stack whose broker and Redis speak TLS, and which trusts that authority. The proxies live as long as they are held.
async fn started(authority: &str) -> (Running, [Front; 2]) {
    let (vhost, redis) = (servers().vhost(), servers().redis());
    let fronts = [Front::before(host(&vhost), "server").await, Front::before(host(&redis), "server").await];
    let behind = |front: &Front, url: &str| {
        let (scheme, _) = url.split_once("://").unwrap();
        url.replacen(scheme, &format!("{scheme}s"), 1).replacen(host(url), &front.address.to_string(), 1)
    };
    let settings = [
        ("AMQP_URL", behind(&fronts[0], &vhost)),
        ("REDIS_URL", behind(&fronts[1], &redis)),
        ("SSL_CERT_FILE", certificate(authority).display().to_string()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    (Running::of(Stack::distributed(&settings)).await, fronts)
}

/// Waits until `/readyz` says that of the queue.
async fn queue_is(stack: &Stack, health: &str) {
    eventually(&format!("a queue that is {health}"), async || {
        let told: Value = stack.get("/readyz").await.json();
        if told["queue"] == health { Ok(()) } else { Err(told) }
    })
    .await;
}

#[tokio::test]
async fn broker_and_redis_are_reached_over_tls() {
    let (stack, _fronts) = started("authority.pem").await;

    queue_is(&stack, "ok").await;
    stack.until(&stack.put("abc").await, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn a_broker_of_an_unknown_authority_gets_no_word() {
    let (stack, _fronts) = started("stranger.pem").await;

    queue_is(&stack, "unavailable").await;
    // All goes on without it.
    stack.until(&stack.put("abc").await, "succeeded").await;
    let told = std::fs::read_to_string(stderr_of(&stack.process_folder(0))).unwrap();
    assert!(told.contains("UnknownIssuer"), "{told}");
}
