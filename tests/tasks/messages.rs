//! Messages: the free provider's to the last request, the paid one's only while it must be and may be.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::Signal;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::{eventually, in_time, servers};
use tokio::time::sleep;
use uuid::Uuid;

use crate::kit::client::{Answer, ask};
use crate::kit::people::as_bearer;
use crate::kit::program::output;
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Running, Setup, Stack, both_stacks};
use crate::kit::stand_ins::StandIns;

/// When a client tries again what a busy server did not take.
const AGAIN: Duration = Duration::from_millis(100);

impl Setup {
    /// A stack beside providers that it counts for with the same settings.
    pub async fn beside_providers(self, limits: &[(&str, &str)]) -> (Running, StandIns) {
        let providers = StandIns::start(limits).await;
        (self.start(&settings(&providers, limits)).await, providers)
    }
}

/// Returns the settings of a stack that uses these providers.
pub fn settings<'a>(providers: &'a StandIns, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&providers.urls()[..], &[("LEASE_SECONDS", "2")], settings].concat()
}

impl Stack {
    /// Registers a user, with or without the right `paid`, logs them in, and returns the token.
    pub async fn sender(&self, username: &str, may_pay: bool) -> String {
        self.register(username).await;
        if may_pay {
            self.let_pay(username).await;
        }
        self.log_in(username).await
    }

    /// Lets a user use the paid provider, from their next log-in on.
    async fn let_pay(&self, username: &str) {
        self.change_user(&["grant", username, "paid"]).await;
    }

    async fn change_user(&self, arguments: &[&str]) {
        let done = output(self.user_command(arguments)).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub async fn send(&self, token: &str, message: &Value) -> Answer {
        let request = as_bearer(self.request(Method::POST, "/api/v1/messages"), token);
        ask(request.body(message.to_string())).await.unwrap()
    }

    /// Sends a text; the ticket.
    pub async fn message(&self, token: &str, text: &str) -> String {
        self.message_to(token, text, "auto").await
    }

    async fn message_to(&self, token: &str, text: &str, provider: &str) -> String {
        let request = as_bearer(self.request(Method::POST, "/api/v1/messages"), token)
            .header("Idempotency-Key", Uuid::new_v4().to_string())
            .body(json!({"text": text, "provider": provider}).to_string());
        // A busy server may answer 503, or close the connection; a client then sends the same again, under its key.
        let answer = in_time("a server that takes a message", async {
            loop {
                match ask(request.try_clone().unwrap()).await {
                    Ok(answer) if answer.status != 503 => break answer,
                    Ok(_) | Err(_) => sleep(AGAIN).await,
                }
            }
        })
        .await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let task = answer.json();
        let id = task["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/messages/{id}"));
        assert_eq!((&task["kind"], &task["input"]["text"]), (&json!("message"), &json!(text)));
        id
    }

    /// Sends so many messages at once, and waits for their answers: by whom each was answered.
    async fn answered_by(&self, token: &str, count: usize) -> Vec<String> {
        let sent = join_all((0..count).map(|number| self.answered(token, number))).await;
        sent.into_iter().map(|task| task["result"]["provider"].as_str().unwrap().to_owned()).collect()
    }

    async fn answered(&self, token: &str, number: usize) -> Value {
        let id = self.message(token, &format!("message {number}")).await;
        self.until(&id, "succeeded").await
    }

    /// Waits until it is known that the free provider is blocked.
    async fn until_blocked(&self) {
        eventually("the free provider is known to be blocked", async || {
            let free = self.get("/api/v1/providers/free").await.json();
            if free["state"] == "blocked" { Ok(()) } else { Err(free) }
        })
        .await;
    }

    /// Returns the paid calls, each with whether the free provider had been asked first.
    fn ledger(&self) -> Vec<String> {
        let calls = self.sql("SELECT free_blocked_until IS NULL FROM paid_calls");
        calls.lines().map(|asked_for| asked_for.replace('t', "1").replace('f', "0")).collect()
    }
}

fn count(answered: &[String], provider: &str) -> usize {
    answered.iter().filter(|by| *by == provider).count()
}

#[apply(both_stacks)]
async fn a_message_is_answered_by_the_free_provider(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[]).await;
    let token = stack.sender("ada", true).await;
    let id = stack.message(&token, "how far is the moon?").await;

    let task = stack.until(&id, "succeeded").await;

    assert_eq!(task["result"]["provider"], "free");
    assert_eq!(task["result"]["reply"]["text"], "how far is the moon?");
    assert_eq!(stack.get(&format!("/api/v1/messages/{id}")).await.json(), task);
    stack.get(&format!("/api/v1/md5/{id}")).await.problem(404, "task-not-found");
    let lines = stack.log_lines(&id).await;
    assert!(lines.len() == 1 && lines[0].ends_with(" message succeeded free"), "{lines:?}");
    let arrivals = providers.arrivals("free").await;
    assert_eq!(arrivals.iter().map(|call| call["key"].as_str().unwrap()).collect::<Vec<_>>(), [id]);
    assert_eq!(providers.stats("paid").await["accepted"], 0);
}

#[apply(both_stacks)]
async fn where_the_free_provider_stands_is_told_from_what_was_counted(setup: Setup) {
    let (stack, _providers) = setup.beside_providers(&[]).await;
    let free = async || stack.get("/api/v1/providers/free").await.json();
    let unknown = json!({"state": "unknown", "remaining": null, "is_at_most": false, "opens_in": null});
    assert_eq!(free().await, unknown);
    let token = stack.sender("ada", false).await;

    assert_eq!(count(&stack.answered_by(&token, 11).await, "free"), 11);

    // It may have had others before.
    let counted = json!({"state": "open", "remaining": 89, "is_at_most": true, "opens_in": null});
    assert_eq!(free().await, counted);
}

#[apply(both_stacks)]
async fn the_paid_provider_is_asked_while_the_free_one_is_blocked(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "5"), ("BLOCK_SECONDS", "600")]).await;
    let token = stack.sender("ada", true).await;

    let answered = stack.answered_by(&token, 25).await;

    assert_eq!((count(&answered, "free"), count(&answered, "paid")), (5, 20));
    assert_eq!(providers.stats("free").await["refused"], 0);
    assert_eq!(stack.ledger(), ["0"; 20]);
    let free = stack.get("/api/v1/providers/free").await.json();
    assert_eq!((&free["state"], &free["remaining"]), (&json!("blocked"), &json!(0)));
    assert!(free["opens_in"].as_f64().is_some_and(|seconds| seconds > 0.0 && seconds <= 600.0), "{free}");
}

#[apply(both_stacks)]
async fn who_may_not_pay_waits_for_the_free_provider(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "5"), ("BLOCK_SECONDS", "1")]).await;
    let token = stack.sender("ada", false).await;

    let answered = stack.answered_by(&token, 17).await;

    assert_eq!(count(&answered, "free"), 17);
    let free = providers.stats("free").await;
    assert_eq!((&free["accepted"], &free["refused"]), (&json!(17), &json!(0)));
    assert_eq!(providers.stats("paid").await["accepted"], 0);
    assert_eq!(stack.ledger(), [""; 0]);
}

#[apply(both_stacks)]
async fn patience_saves_money(setup: Setup) {
    let (stack, providers) =
        setup.beside_providers(&[("REQUESTS", "2"), ("BLOCK_SECONDS", "1"), ("PATIENCE", "600")]).await;
    let token = stack.sender("ada", true).await;

    let answered = stack.answered_by(&token, 5).await;

    assert_eq!(count(&answered, "free"), 5);
    assert_eq!(providers.stats("free").await["refused"], 0);
}

#[apply(both_stacks)]
async fn a_provider_can_be_asked_for(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "2")]).await;
    let token = stack.sender("ada", true).await;
    let poor = stack.sender("bob", false).await;

    let paid = stack.message_to(&token, "at once", "paid").await;
    let paid = stack.until(&paid, "succeeded").await;
    let free = [stack.message_to(&token, "a", "free").await, stack.message_to(&token, "b", "free").await];
    for id in &free {
        assert_eq!(stack.until(id, "succeeded").await["result"]["provider"], "free");
    }

    assert_eq!(paid["result"]["provider"], "paid");
    assert_eq!(stack.ledger(), ["1"]);
    let refused = stack.send(&poor, &json!({"text": "a", "provider": "paid"})).await;
    refused.problem(403, "paid-not-allowed");
    assert_eq!(providers.stats("paid").await["accepted"], 1);
}

#[apply(both_stacks)]
async fn nothing_is_paid_for_whose_sender_may_pay_no_more(setup: Setup) {
    let (stack, providers) = setup
        .beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "2"), ("MAX_ATTEMPTS", "1000000")])
        .await;
    let (ada, bob) = (stack.sender("ada", true).await, stack.sender("bob", true).await);
    providers.control("paid", &json!({"failure_rate": 1})).await;
    stack.answered(&ada, 0).await;
    let paid = [stack.message_to(&ada, "a", "paid").await, stack.message_to(&bob, "b", "paid").await];
    eventually("messages that wait for the paid provider", async || {
        let stats = providers.stats("paid").await;
        if stats["failed"].as_u64().unwrap() >= 2 { Ok(()) } else { Err(stats) }
    })
    .await;

    stack.change_user(&["revoke", "ada", "paid"]).await;
    stack.change_user(&["disable", "bob"]).await;
    let auto = stack.message(&ada, "c").await;
    providers.control("paid", &json!({"failure_rate": 0})).await;

    for id in &paid {
        assert_eq!(stack.until(id, "failed").await["error"]["code"], "paid-not-allowed");
    }
    assert_eq!(stack.until(&auto, "succeeded").await["result"]["provider"], "free");
    assert_eq!(providers.stats("paid").await["accepted"], 0);
    // Her token still says that she may.
    let refused = stack.send(&ada, &json!({"text": "a", "provider": "paid"})).await;
    refused.problem(403, "paid-not-allowed");
}

#[apply(both_stacks)]
async fn what_is_no_message_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let token = stack.sender("ada", true).await;
    for nonsense in [
        json!({"text": ""}),
        json!({"text": "a\u{0}b"}),
        json!({"text": 5}),
        json!({"text": null}),
        json!({}),
        json!([]),
        json!({"text": "a", "provider": "cheap"}),
        json!({"text": "a", "provider": null}),
        json!({"text": "a", "may_pay": true}),
    ] {
        stack.send(&token, &nonsense).await.problem(422, "invalid-message");
    }
    for no_json in ["", "text", "{\"text\": \"\\ud800\"}"] {
        let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &token).body(no_json);
        ask(request).await.unwrap().problem(400, "invalid-json");
    }
    let large = json!({"text": "x".repeat(70_000)});
    stack.send(&token, &large).await.problem(413, "body-too-large");
    for nobody in ["", "nonsense"] {
        stack.send(nobody, &json!({"text": "a"})).await.problem(401, "unauthenticated");
    }
    stack.post_json("/api/v1/messages", &json!({"text": "a"})).await.problem(401, "unauthenticated");
    assert_eq!(stack.tasks("").await.len(), 0);
}

#[apply(both_stacks)]
async fn a_message_that_is_sent_again_is_the_same(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[]).await;
    let (ada, bob) = (stack.sender("ada", false).await, stack.sender("bob", false).await);
    let send = async |token: &str, text: &str| {
        let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), token);
        let request = request.header("Idempotency-Key", "k").body(json!({"text": text}).to_string());
        ask(request).await.unwrap()
    };

    let id = accepted_message(&send(&ada, "a").await);
    let again = send(&ada, "a").await;
    assert_eq!((accepted_message(&again), again.header("idempotency-replayed")), (id.clone(), "true"));
    send(&ada, "b").await.problem(422, "idempotency-mismatch");
    let bobs = accepted_message(&send(&bob, "a").await);
    assert_ne!(bobs, id);
    let upload = as_bearer(stack.put_request("a", "a"), &ada).header("Idempotency-Key", "k");
    ask(upload).await.unwrap().problem(422, "idempotency-mismatch");

    for id in [&id, &bobs] {
        stack.until(id, "succeeded").await;
    }
    assert_eq!(providers.stats("free").await["accepted"], 2);
}

fn accepted_message(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[apply(both_stacks)]
async fn a_provider_that_fails_is_tried_again(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("MAX_ATTEMPTS", "100")]).await;
    let token = stack.sender("ada", false).await;
    let has_seen = async |what: &str| {
        eventually(what, async || {
            let stats = providers.stats("free").await;
            if stats[what].as_u64().unwrap() >= 3 { Ok(()) } else { Err(stats) }
        })
        .await;
    };
    providers.control("free", &json!({"failure_rate": 1})).await;
    let tickets = join_all((0..3).map(|_| stack.message(&token, "a"))).await;
    has_seen("failed").await;
    // Now they are done there, but the answers are lost.
    providers.control("free", &json!({"failure_rate": 0, "drop_rate": 1})).await;
    has_seen("accepted").await;
    providers.control("free", &json!({"drop_rate": 0})).await;

    for id in &tickets {
        assert_eq!(stack.until(id, "succeeded").await["result"]["provider"], "free");
    }

    let arrivals = providers.arrivals("free").await;
    let keys: BTreeSet<&str> = arrivals.iter().map(|call| call["key"].as_str().unwrap()).collect();
    assert_eq!(keys, tickets.iter().map(String::as_str).collect(), "each comes again under its own key");
}

#[apply(both_stacks)]
async fn a_provider_that_never_answers_well_is_the_tasks_error(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("MAX_ATTEMPTS", "2")]).await;
    let token = stack.sender("ada", false).await;
    providers.control("free", &json!({"failure_rate": 1})).await;

    let id = stack.message(&token, "a").await;
    let task = stack.until(&id, "failed").await;

    assert_eq!(task["error"]["code"], "provider-unavailable");
    assert_eq!(providers.stats("free").await["failed"], 2);
}

#[tokio::test]
async fn a_provider_that_is_not_there_yet_is_waited_for() {
    // No process listens there until the stand-in does.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{place}");
    let stack = Running::of(Stack::embedded(&[("FREE_URL", &url), ("MAX_ATTEMPTS", "1")])).await;
    let token = stack.sender("ada", true).await;
    let id = stack.message(&token, "a").await;
    eventually("an attempt that met nobody", async || {
        let task = stack.task(&id).await;
        if task["attempt"] != 0 && task["status"] == "pending" { Ok(()) } else { Err(task) }
    })
    .await;

    let _providers = StandIns::start_as(&["providers", "free"], &[("FREE_LISTEN", &place)]).await;

    assert_eq!(stack.until(&id, "succeeded").await["result"]["provider"], "free");
}

#[apply(both_stacks)]
async fn messages_that_wait_hold_nothing_up(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "600")]).await;
    let (poor, rich) = (stack.sender("ada", false).await, stack.sender("bob", true).await);
    // More than there are slots.
    join_all((0..100).map(|_| stack.message(&poor, "waits"))).await;
    stack.until_blocked().await;

    let paid = stack.message(&rich, "pays").await;
    let hashed = stack.put("abc").await;

    assert_eq!(stack.until(&paid, "succeeded").await["result"]["provider"], "paid");
    stack.until(&hashed, "succeeded").await;
    assert_eq!(providers.stats("free").await["accepted"], 1);
    let waiting = stack.tasks("kind=message").await;
    let unended = waiting.iter().filter(|task| task["finished"].is_null());
    assert_eq!(unended.count(), 99);
}

#[apply(both_stacks)]
async fn a_message_that_waits_can_be_cancelled(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "600")]).await;
    let token = stack.sender("ada", false).await;
    stack.until(&stack.message(&token, "first").await, "succeeded").await;
    let id = stack.message(&token, "second").await;
    stack.until_blocked().await;

    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.status, 200);

    let task = stack.until(&id, "cancelled").await;
    assert_eq!(task["error"]["code"], "cancelled");
    assert_eq!(providers.stats("free").await["accepted"], 1);
}

#[apply(both_stacks)]
async fn a_message_that_waits_outlives_its_worker(setup: Setup) {
    let (stack, providers) =
        setup.beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "3"), ("MAX_ATTEMPTS", "1")]).await;
    let token = stack.sender("ada", false).await;
    stack.until(&stack.message(&token, "first").await, "succeeded").await;
    let id = stack.message(&token, "second").await;
    stack.until(&id, "running").await;

    // A clean end hands it back, and costs no try.
    stack.signal(Signal::SIGTERM);
    assert!(stack.exit().await.success());
    stack.start().await;

    let task = stack.until(&id, "succeeded").await;
    assert_eq!(task["result"]["provider"], "free");
    let accepted = providers.stats("free").await["accepted"].as_u64().unwrap();
    assert_eq!(accepted, 2);
}

#[apply(both_stacks)]
async fn workers_that_crash_lose_no_message(setup: Setup) {
    let (stack, providers) =
        setup.beside_providers(&[("REQUESTS", "20"), ("BLOCK_SECONDS", "1"), ("MAX_ATTEMPTS", "100")]).await;
    let token = stack.sender("ada", true).await;
    providers.control("free", &json!({"latency": 0.05})).await;
    providers.control("paid", &json!({"latency": 0.05})).await;
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.extend(join_all((0..30).map(|_| stack.message(&token, "a"))).await);
        stack.kill();
        stack.start().await;
    }

    for id in &tickets {
        stack.until(id, "succeeded").await;
    }

    // The answer to a message under way at a crash may have been lost; it is sent again under its key.
    for provider in ["free", "paid"] {
        let arrivals = providers.arrivals(provider).await;
        let keys: BTreeSet<&str> = arrivals.iter().map(|call| call["key"].as_str().unwrap()).collect();
        assert!(keys.iter().all(|key| tickets.iter().any(|id| id == key)), "{arrivals:?}");
    }
    assert!(providers.stats("free").await["most_in_window"].as_u64().unwrap() <= 20);
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn nothing_is_sent_uncounted_while_redis_is_away() {
    let redis = servers().redis();
    let proxy = Proxy::to(&redis).await;
    let providers = StandIns::start(&[]).await;
    let url = proxy.url(&redis);
    let settings = [&settings(&providers, &[])[..], &[("REDIS_URL", url.as_str())]].concat();
    let stack = Running::of(Stack::distributed(&settings)).await;
    let token = stack.sender("ada", true).await;
    stack.until(&stack.message(&token, "before").await, "succeeded").await;

    proxy.pull_out();
    let id = stack.message(&token, "meanwhile").await;
    stack.until(&id, "running").await;
    // Long enough to be sent, if it were to be.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(providers.stats("free").await["accepted"], 1);
    assert_eq!(stack.get("/api/v1/providers/free").await.json()["state"], "unknown");

    proxy.put_in();
    assert_eq!(stack.until(&id, "succeeded").await["result"]["provider"], "free");
    assert_eq!(providers.stats("paid").await["accepted"], 0);
}

#[apply(both_stacks)]
async fn a_right_counts_from_the_next_token_on(setup: Setup) {
    let (stack, providers) = setup.beside_providers(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "600")]).await;
    let before = stack.sender("ada", false).await;
    stack.let_pay("ada").await;
    let after = stack.log_in("ada").await;
    stack.until(&stack.message(&before, "first").await, "succeeded").await;

    let waits = stack.message(&before, "waits").await;
    let pays = stack.message(&after, "pays").await;

    assert_eq!(stack.until(&pays, "succeeded").await["result"]["provider"], "paid");
    assert!(stack.task(&waits).await["finished"].is_null());
    assert_eq!(providers.stats("paid").await["accepted"], 1);
}
