//! Users: registered over HTTP or by command, granted rights by admins; and whose task an upload is.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::cli::settings::refused;
use crate::kit::client::{Answer, accepted, ask};
use crate::kit::people::{PASSWORD, as_bearer, credentials};
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks};

const NOBODY: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

impl Stack {
    async fn change_right(&self, token: &str, method: Method, user: &str, right: &str) -> Answer {
        self.ask_as(token, method, &format!("/api/v1/users/{user}/rights/{right}")).await
    }
}

#[apply(both_stacks)]
async fn who_registers_can_log_in_and_is_himself(setup: Setup) {
    let stack = setup.start(&[]).await;
    let registered =
        stack.post_json("/api/v1/users", &credentials("Ren\u{e9} Å.", "caf\u{e9} cr\u{e8}me")).await;

    let user = registered.json();
    assert_eq!(registered.status, 201);
    assert_eq!(user, json!({"id": user["id"], "username": "rené å.", "rights": []}));
    // However it is typed.
    for (name, password) in [
        ("rene\u{301} a\u{30a}.", "cafe\u{301} cre\u{300}me"),
        ("REN\u{c9} \u{c5}.", "caf\u{e9}\u{a0}cr\u{e8}me"),
    ] {
        let session = stack.log_in_with(name, password).await.json();
        let token = session["token"].as_str().unwrap_or_else(|| panic!("{name}: {session}"));
        assert_eq!((stack.me(token).await.status, stack.me(token).await.json()), (200, user.clone()));
        stack.post_json("/api/v1/users", &credentials(name, PASSWORD)).await.problem(409, "username-taken");
    }
    stack.log_in_with("rene a.", "caf\u{e9} cr\u{e8}me").await.problem(401, "invalid-credentials");
    let password = stack.sql("SELECT password_hash FROM users");
    assert!(password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !password.contains(PASSWORD));
}

#[apply(both_stacks)]
async fn a_registration_that_can_not_be_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let again = stack.post_json("/api/v1/users", &credentials("ada", "another password")).await;
    again.problem(409, "username-taken");

    let long = "x".repeat(65);
    for name in [
        "",
        " ",
        " bob",
        "bob ",
        "b\nb",
        "b\u{202e}b",
        "b\u{200b}b",
        "b\0b",
        "\u{fb01}ona",
        "b\u{2160}b",
        "b 🧥",
        &long,
    ] {
        let answer = stack.post_json("/api/v1/users", &credentials(name, PASSWORD)).await;
        answer.problem(422, "invalid-user");
    }
    for password in ["", "1234567", "12345678\0", &"x".repeat(1025)] {
        let answer = stack.post_json("/api/v1/users", &credentials("bob", password)).await;
        let problem = answer.problem(422, "invalid-user");
        assert!(password.is_empty() || !problem.to_string().contains(password));
    }
    for body in [
        json!({}),
        json!({"username": "bob"}),
        json!({"username": "bob", "password": 12345678}),
        json!({"username": "bob", "password": PASSWORD, "rights": ["admin"]}),
        json!({"username": "bob", "password": PASSWORD, "id": NOBODY}),
        json!([credentials("bob", PASSWORD)]),
        json!(["bob", PASSWORD]),
        json!(null),
    ] {
        for path in ["/api/v1/users", "/api/v1/session"] {
            stack.post_json(path, &body).await.problem(422, "invalid-user");
        }
    }
    for path in ["/api/v1/users", "/api/v1/session"] {
        let deep = format!("{{\"username\": {}", "[".repeat(50_000));
        for body in ["", "{", "username=bob", "{\"username\": \"\\ud800\"}", &deep] {
            let request = stack.request(Method::POST, path).body(body.to_owned());
            ask(request).await.unwrap().problem(400, "invalid-json");
        }
        let large = credentials("bob", &"x".repeat(64 << 10));
        stack.post_json(path, &large).await.problem(413, "body-too-large");
        let answer = stack.ask(Method::PATCH, path).await;
        answer.problem(405, "method-not-allowed");
    }
    assert_eq!(stack.sql("SELECT count(*) FROM users").trim(), "1");
}

#[apply(both_stacks)]
async fn only_admins_grant_rights_which_show_at_the_next_log_in(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (ada, bob) = (stack.register("ada").await, stack.register("bob").await);
    let (token, admin) = (stack.log_in("ada").await, stack.admin("root").await);
    let path = format!("/api/v1/users/{ada}/rights/admin");

    for method in [Method::PUT, Method::DELETE] {
        stack.ask(method.clone(), &path).await.problem(401, "unauthenticated");
        for user in [&*ada, &bob, NOBODY, "nonsense"] {
            stack.change_right(&token, method.clone(), user, "admin").await.problem(403, "forbidden");
        }
        stack.change_right(&admin, method.clone(), NOBODY, "paid").await.problem(404, "not-found");
        stack.change_right(&admin, method.clone(), "nonsense", "paid").await.problem(400, "invalid-id");
        for right in ["root", "Paid", "paid%20", "%ff", "paid,admin"] {
            stack.change_right(&admin, method.clone(), &ada, right).await.problem(404, "not-found");
        }
    }
    for _ in 0..2 {
        let granted = stack.change_right(&admin, Method::PUT, &ada, "paid").await;
        assert_eq!((granted.status, granted.json()["rights"].clone()), (200, json!(["paid"])));
    }
    let both = stack.change_right(&admin, Method::PUT, &ada, "admin").await.json();
    assert_eq!(both, json!({"id": ada, "username": "ada", "rights": ["paid", "admin"]}));

    // The user has it, her token hasn't.
    assert_eq!(stack.me(&token).await.json(), both);
    stack.change_right(&token, Method::PUT, &bob, "paid").await.problem(403, "forbidden");
    let next = stack.log_in("ada").await;
    assert_eq!(stack.change_right(&next, Method::PUT, &bob, "paid").await.status, 200);
    for _ in 0..2 {
        let revoked = stack.change_right(&next, Method::DELETE, &bob, "paid").await;
        assert_eq!((revoked.status, revoked.json()["rights"].clone()), (200, json!([])));
    }
}

#[apply(both_stacks)]
async fn a_revoked_admin_is_none_whatever_his_token_says(setup: Setup) {
    let stack = setup.start(&[("METRICS", "closed")]).await;
    let (root, eve) = (stack.admin("root").await, stack.admin("eve").await);
    let id = async |token: &str| stack.me(token).await.json()["id"].as_str().unwrap().to_owned();
    let (root_id, eve_id) = (id(&root).await, id(&eve).await);
    let (_, key) = stack.key(&eve, "a key").await;

    assert_eq!(stack.change_right(&root, Method::DELETE, &eve_id, "admin").await.status, 200);

    for credential in [&eve, &key] {
        stack.change_right(credential, Method::PUT, &eve_id, "admin").await.problem(403, "forbidden");
        stack.change_right(credential, Method::DELETE, &root_id, "admin").await.problem(403, "forbidden");
        for (method, path) in [
            (Method::GET, "/api/v1/users".to_owned()),
            (Method::GET, "/metrics".to_owned()),
            (Method::DELETE, format!("/api/v1/users/{root_id}")),
            (Method::PUT, format!("/api/v1/users/{root_id}/disabled")),
            (Method::DELETE, format!("/api/v1/users/{root_id}/sessions")),
        ] {
            stack.ask_as(credential, method, &path).await.problem(403, "forbidden");
        }
    }
    assert_eq!(stack.me(&root).await.json()["rights"], json!(["admin"]));
}

#[apply(both_stacks)]
async fn users_are_listed_disabled_and_deleted(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    let root = stack.admin("root").await;
    let (ada, bob) = (stack.register("ada").await, stack.register("bob").await);
    let token = stack.log_in("ada").await;
    let (_, key) = stack.key(&token, "a key").await;
    let put = async |token: &str| ask(as_bearer(stack.put_request("file", "abc"), token)).await.unwrap();
    let task = accepted(&put(&token).await);
    let users = async |query: &str| stack.ask_as(&root, Method::GET, &format!("/api/v1/users{query}")).await;
    let change = async |method: Method, path: &str| {
        stack.ask_as(&root, method, &format!("/api/v1/users/{path}")).await
    };

    let page = users("?limit=2").await.json();
    let next = page["next"].as_str().unwrap().to_owned();
    let names = |page: &Value| -> Vec<String> {
        page["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&page), ["root", "ada"]);
    assert_eq!(page["users"][0]["rights"], json!(["admin"]));
    assert!(page["users"][1]["created"].is_string() && page["users"][1]["disabled"].is_null(), "{page}");
    let last = users(&format!("?after={next}")).await.json();
    assert_eq!((names(&last), last["next"].clone()), (vec!["bob".to_owned()], Value::Null));
    for query in ["?limit=0", "?after=x"] {
        users(query).await.problem(400, "invalid-parameter");
    }

    let disabled = change(Method::PUT, &format!("{ada}/disabled")).await;
    assert!(disabled.status == 200 && disabled.json()["disabled"].is_string(), "{}", disabled.text());
    for credential in [&token, &key] {
        stack.me(credential).await.problem(401, "unauthenticated");
        put(credential).await.problem(401, "unauthenticated");
    }
    stack.log_in_with("ada", PASSWORD).await.problem(401, "invalid-credentials");
    assert_eq!(change(Method::DELETE, &format!("{ada}/disabled")).await.status, 200);
    stack.me(&token).await.problem(401, "unauthenticated");
    assert_eq!(stack.me(&key).await.status, 200);
    let token = stack.log_in("ada").await;

    assert_eq!(change(Method::DELETE, &ada).await.status, 204);
    for credential in [&token, &key] {
        stack.me(credential).await.problem(401, "unauthenticated");
    }
    change(Method::DELETE, &ada).await.problem(404, "not-found");
    // Her name is free, her tasks are not the next one's.
    stack.register("ada").await;
    let path = format!("/api/v1/tasks/{task}");
    stack.ask_as(&stack.log_in("ada").await, Method::GET, &path).await.problem(404, "task-not-found");
    assert_eq!(stack.ask_as(&root, Method::GET, &path).await.status, 200);

    // The same by command.
    let told = async |arguments: &[&str]| {
        let done = output(stack.user_command(arguments)).await;
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(told(&["disable", "bob"]).await.contains("disabled"));
    stack.log_in_with("bob", PASSWORD).await.problem(401, "invalid-credentials");
    let list = told(&["list"]).await;
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.lines().any(|line| line.contains(&bob) && line.ends_with("disabled")), "{list}");
    told(&["enable", "bob"]).await;
    stack.log_in("bob").await;
    told(&["delete", "bob"]).await;
    assert_eq!(told(&["list"]).await.lines().count(), 2);
}

#[apply(both_stacks)]
async fn where_registration_is_closed_admins_make_users(setup: Setup) {
    let stack = setup.start(&[("REGISTRATION", "closed")]).await;
    let root = stack.admin("root").await;
    let register = async |token: Option<&str>, name: &str| {
        let request =
            stack.request(Method::POST, "/api/v1/users").body(credentials(name, PASSWORD).to_string());
        ask(token.into_iter().fold(request, as_bearer)).await.unwrap()
    };

    register(None, "ada").await.problem(403, "forbidden");
    register(Some("nonsense"), "ada").await.problem(401, "unauthenticated");
    assert_eq!(register(Some(&root), "ada").await.status, 201);
    let newest = &stack.ask_as(&root, Method::GET, "/api/v1/audit").await.json()["acts"][0];
    assert_eq!(
        (&newest["who"], &newest["act"], &newest["detail"]),
        (&json!("root"), &json!("create-user"), &json!("ada"))
    );
    register(Some(&stack.log_in("ada").await), "bob").await.problem(403, "forbidden");
    // Strangers must not learn whether a name is taken.
    register(None, "ada").await.problem(403, "forbidden");
}

#[apply(both_stacks)]
async fn users_from_before_names_were_mapped_log_in_as_they_did(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (now, before) in [("ada", "Ada 🧥"), ("bob", "Bob")] {
        stack.register(now).await;
        stack.sql(&format!("UPDATE users SET username = '{before}' WHERE username = '{now}'"));
        let token = stack.log_in(before).await;
        assert_eq!(stack.me(&token).await.json()["username"], before);
        stack.log_in_with(now, PASSWORD).await.problem(401, "invalid-credentials");
    }
    // The name that the user types stays free.
    stack.post_json("/api/v1/users", &credentials("Bob", PASSWORD)).await.problem(409, "username-taken");
    assert!(output(stack.user_command(&["grant", "Ada 🧥", "paid"])).await.status.success());
}

#[apply(both_stacks)]
async fn users_are_made_and_granted_rights_beside_a_running_server(setup: Setup) {
    let stack = setup.start(&[]).await;
    let told = async |arguments: &[&str]| {
        let done = output(stack.user_command(arguments)).await;
        let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        assert_eq!((done.status.code(), &*err, out.lines().count()), (Some(0), "", 1), "{arguments:?}");
        out
    };
    let rights = async || stack.me(&stack.log_in("ada").await).await.json()["rights"].clone();

    assert!(told(&["create", "ada"]).await.contains("ada"));
    assert_eq!(rights().await, json!([]));
    assert!(told(&["grant", "ada", "paid"]).await.contains("paid"));
    told(&["grant", "ada", "admin"]).await;
    told(&["grant", "ada", "admin"]).await;
    assert_eq!(rights().await, json!(["paid", "admin"]));
    told(&["revoke", "ada", "paid"]).await;
    assert_eq!(rights().await, json!(["admin"]));

    // The server has gone on.
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
}

#[apply(both_stacks)]
async fn a_user_command_that_can_not_be_says_why_in_a_line(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    for (arguments, word) in [
        (&["create", "ada"][..], "ada"),
        (&["create", ""], "username"),
        (&["create", " bob"], "username"),
        (&["grant", "bob", "paid"], "bob"),
        (&["revoke", "bob", "paid"], "bob"),
        (&["grant", "ada", "root"], "right"),
        (&["grant", "ada"], "RIGHT"),
        (&["remove", "ada"], "remove"),
        (&["disable", "bob"], "bob"),
        (&["delete", "bob"], "bob"),
        (&["logout", "bob"], "bob"),
        (&["password", "bob"], "bob"),
    ] {
        refused(&output(stack.user_command(arguments)).await, word);
    }
    let mut command = stack.user_command(&["create", "bob"]);
    command.env("COATCHECK_PASSWORD", "1234567");
    refused(&output(command).await, "COATCHECK_PASSWORD");
    let mut command = stack.user_command(&["create", "bob"]);
    command.env_remove("COATCHECK_PASSWORD");
    refused(&output(command).await, "COATCHECK_PASSWORD");
    let mut command = stack.user_command(&["create", "bob"]);
    command.env("DATABASE_URL", "nonsense");
    refused(&output(command).await, "DATABASE_URL");

    let mut away = stack.user_command(&["create", "bob"]);
    away.env("DATABASE_URL", "postgres://coat@127.0.0.1:9/coat");
    let done = output(away).await;
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    assert_eq!(String::from_utf8(done.stderr).unwrap().lines().count(), 1);
    assert_eq!(stack.sql("SELECT count(*) FROM users").trim(), "1");
}

#[apply(both_stacks)]
async fn a_password_may_be_read_from_a_file(setup: Setup) {
    let stack = setup.start(&[]).await;
    let path = stack.folder().join("password");
    std::fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    let mut command = stack.user_command(&["create", "ada"]);
    command.env_remove("COATCHECK_PASSWORD").env("COATCHECK_PASSWORD_FILE", path);

    assert!(output(command).await.status.success());

    stack.log_in("ada").await;
}

#[apply(both_stacks)]
async fn each_user_has_his_own_idempotency_keys_and_nobody_has_too(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut ids = Vec::new();
    for name in ["ada", "bob"] {
        stack.register(name).await;
    }
    let (ada, bob) = (stack.log_in("ada").await, stack.log_in("bob").await);
    let put = async |token: Option<&str>, bytes: &'static str| {
        let request = stack.put_request("file", bytes).header("Idempotency-Key", "k");
        let request = token.into_iter().fold(request, as_bearer);
        ask(request).await.unwrap()
    };

    for token in [None, Some(&*ada), Some(&*bob)] {
        let (first, again) = (put(token, "abc").await, put(token, "abc").await);
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            ("", "true")
        );
        assert_eq!(accepted(&first), accepted(&again));
        put(token, "abd").await.problem(422, "idempotency-mismatch");
        ids.push(accepted(&first));
    }
    // Another token of the same user is the same user.
    assert_eq!(accepted(&put(Some(&stack.log_in("ada").await), "abc").await), ids[1]);

    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let tasks: Vec<Value> = stack.tasks("").await;
    assert_eq!(tasks.len(), 3);
    assert!(tasks.iter().all(|task| task.get("owner").is_none()), "{tasks:?}");
    assert_eq!(stack.sql("SELECT count(DISTINCT owner) FROM tasks").trim(), "2");
}
