//! The audit: what operators and admins have done is recorded, and viewers read it.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::client::{accepted, ask};
use crate::kit::people::as_bearer;
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks};

const REQUIRED: [(&str, &str); 2] = [("AUTH", "required"), ("FREE_URL", "http://127.0.0.1:9")];

/// Returns the acts, the first one first: who, what, and on which target.
async fn acts(stack: &Stack, token: &str) -> Vec<(Value, Value, Value, Value)> {
    let (mut acts, mut path) = (Vec::new(), "/api/v1/audit?limit=2".to_owned());
    loop {
        let page = stack.ask_as(token, Method::GET, &path).await.json();
        for act in page["acts"].as_array().unwrap() {
            let field = |name: &str| act[name].clone();
            assert_eq!(act["user"].is_null(), act["who"] == "coatcheck user", "{act}");
            acts.insert(0, (field("who"), field("act"), field("target"), field("detail")));
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/audit?limit=2&after={next}"),
            None => return acts,
        }
    }
}

#[apply(both_stacks)]
async fn each_act_on_another_user_or_their_task_is_recorded(setup: Setup) {
    let stack = setup.start(&REQUIRED).await;
    let (ada_id, bob_id) = (stack.register("ada").await, stack.register("bob").await);
    let (ada, root) = (stack.log_in("ada").await, stack.admin("root").await);
    let message = async || {
        let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &ada);
        accepted(&ask(request.body(json!({"text": "abc"}).to_string())).await.unwrap())
    };
    let (hers, own) = (message().await, message().await);
    let asked = async |token: &str, method, path: &str| {
        let answer = stack.ask_as(token, method, path).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    };

    let command = async |arguments: &[&str]| {
        assert!(output(stack.user_command(arguments)).await.status.success(), "{arguments:?}");
    };
    let root_id = stack.me(&root).await.json()["id"].as_str().unwrap().to_owned();

    command(&["grant", "bob", "operator"]).await;
    let bob = stack.log_in("bob").await;
    asked(&ada, Method::DELETE, &format!("/api/v1/tasks/{own}")).await;
    asked(&bob, Method::DELETE, &format!("/api/v1/tasks/{hers}")).await;
    asked(&root, Method::PUT, &format!("/api/v1/users/{ada_id}/rights/viewer")).await;
    asked(&root, Method::DELETE, &format!("/api/v1/users/{bob_id}/rights/operator")).await;
    asked(&root, Method::PUT, &format!("/api/v1/users/{bob_id}/disabled")).await;
    asked(&root, Method::DELETE, &format!("/api/v1/users/{bob_id}/disabled")).await;
    asked(&root, Method::DELETE, &format!("/api/v1/users/{bob_id}/sessions")).await;
    command(&["password", "bob"]).await;
    asked(&root, Method::DELETE, &format!("/api/v1/users/{bob_id}")).await;
    let (key, _) = stack.key(&root, "a key").await;
    asked(&root, Method::DELETE, &format!("/api/v1/keys/{key}")).await;
    // What changes nothing is not recorded.
    stack.ask_as(&root, Method::DELETE, &format!("/api/v1/users/{bob_id}")).await.problem(404, "not-found");
    stack.ask_as(&ada, Method::DELETE, &format!("/api/v1/users/{bob_id}")).await.problem(403, "forbidden");

    let act = |who: &str, act: &str, target: &str, detail: Option<&str>| {
        (json!(who), json!(act), json!(target), json!(detail))
    };
    let viewer = stack.log_in("ada").await;
    assert_eq!(
        acts(&stack, &viewer).await,
        [
            act("coatcheck user", "create-user", &root_id, Some("root")),
            act("coatcheck user", "grant", &bob_id, Some("operator")),
            act("bob", "cancel", &hers, None),
            act("root", "grant", &ada_id, Some("viewer")),
            act("root", "revoke", &bob_id, Some("operator")),
            act("root", "disable-user", &bob_id, Some("bob")),
            act("root", "enable-user", &bob_id, Some("bob")),
            act("root", "end-sessions", &bob_id, None),
            act("coatcheck user", "set-password", &bob_id, Some("bob")),
            act("root", "delete-user", &bob_id, Some("bob")),
            act("root", "revoke-key", &key, None),
        ]
    );
}
