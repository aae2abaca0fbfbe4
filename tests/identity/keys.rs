//! API keys: made once, brought as often as one likes, revoked at once; and never more than there may be.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;

use crate::kit::client::ask;
use crate::kit::people::as_bearer;
use crate::kit::stack::{Setup, both_stacks, distributed};

#[apply(both_stacks)]
async fn a_key_stands_for_its_user_as_he_is_now_until_it_is_revoked(setup: Setup) {
    let stack = setup.start(&[("METRICS", "closed")]).await;
    let user = stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob, root) = (stack.log_in("ada").await, stack.log_in("bob").await, stack.admin("root").await);

    let (id, key) = stack.key(&ada, "nightly 🧥").await;

    assert!(key.starts_with("coatcheck_") && key.len() == 53, "{key}");
    let listed = stack.ask_as(&ada, Method::GET, "/api/v1/keys").await.json();
    let created = listed[0]["created"].clone();
    assert_eq!(listed, json!([{"id": id, "name": "nightly 🧥", "created": created}]));
    assert_eq!(stack.me(&key).await.json()["username"], "ada");
    assert_eq!(stack.sql("SELECT count(*) FROM api_keys WHERE length(key_sha256) = 32").trim(), "1");

    // Rights that come and go are its at once, though her token knows nothing of it.
    let path = format!("/api/v1/users/{user}/rights/admin");
    for (method, status) in [(Method::PUT, 200), (Method::DELETE, 403)] {
        assert_eq!(stack.ask_as(&root, method, &path).await.status, 200);
        assert_eq!(stack.ask_as(&key, Method::GET, "/metrics").await.status, status);
        stack.ask_as(&ada, Method::GET, "/metrics").await.problem(403, "forbidden");
    }

    stack.revoke_key(&bob, &id).await.problem(404, "key-not-found");
    stack.revoke_key(&root, &id).await.problem(404, "key-not-found");
    stack.revoke_key(&ada, "nonsense").await.problem(400, "invalid-id");
    stack.revoke_key(&key, &id).await.problem(403, "forbidden");
    assert_eq!(stack.me(&key).await.status, 200);
    assert_eq!(stack.revoke_key(&ada, &id).await.status, 204);
    stack.me(&key).await.problem(401, "unauthenticated");
    stack.revoke_key(&ada, &id).await.problem(404, "key-not-found");
}

#[apply(distributed)]
async fn a_key_that_is_revoked_is_none_at_any_process(setup: Setup) {
    let stack = setup.start(&[("METRICS", "closed")]).await;
    let mut second = stack.extra(&["api"], &[]);
    let address = second.address().await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let me = format!("{address}/api/v1/users/me");
    for _ in 0..3 {
        let (id, key) = stack.key(&token, "a key").await;
        assert_eq!(stack.ask_as(&key, Method::GET, &me).await.status, 200);

        assert_eq!(stack.revoke_key(&token, &id).await.status, 204);

        stack.ask_as(&key, Method::GET, &me).await.problem(401, "unauthenticated");
    }
}

#[apply(both_stacks)]
async fn a_key_that_can_not_be_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let make = async |body: String| {
        ask(as_bearer(stack.request(Method::POST, "/api/v1/keys").body(body), &token)).await.unwrap()
    };
    for name in ["", " ", " a", "a\nb", "a\u{202e}b", &"x".repeat(65)] {
        make(json!({"name": name}).to_string()).await.problem(422, "invalid-key");
    }
    for body in
        [json!({}), json!({"name": 5}), json!({"name": "a", "key": "mine"}), json!(["a"]), json!(null)]
    {
        make(body.to_string()).await.problem(422, "invalid-key");
    }
    make("{".to_owned()).await.problem(400, "invalid-json");
    for key in
        ["coatcheck_", "coatcheck_x", &format!("coatcheck_{}", "A".repeat(43)), &"coatcheck_".repeat(900)]
    {
        stack.me(key).await.problem(401, "unauthenticated");
    }

    for _ in 0..100 {
        assert_eq!(make(json!({"name": "one of many"}).to_string()).await.status, 201);
    }
    make(json!({"name": "one too many"}).to_string()).await.problem(409, "too-many-keys");
    let listed = stack.ask_as(&token, Method::GET, "/api/v1/keys").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 100);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(stack.revoke_key(&token, id).await.status, 204);
    assert_eq!(make(json!({"name": "in its place"}).to_string()).await.status, 201);
}
