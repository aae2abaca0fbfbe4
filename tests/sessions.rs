//! Log-ins: who is let in, what a token is worth, and what is none.

use futures::future::join_all;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use serde_json::json;

use crate::client::{Answer, ask};
use crate::people::{
    PASSWORD, SECRET, as_bearer, changed, claims, credentials, encoded, header, seconds, signed, with_cookie,
};
use crate::program::output;
use crate::settings::refused;
use crate::stack::Stack;

const ME: &str = "/api/v1/users/me";
const SESSION: &str = "/api/v1/session";

on_both_stacks!(a_log_in_gives_a_token_and_a_cookie_that_both_hold, |stack| async move {
    let user = stack.register("ada").await;

    let answer = stack.log_in_with("ada", PASSWORD).await;

    let cookies: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let (token, expires) = (answer.json()["token"].clone(), answer.json()["expires"].clone());
    let (token, expires) = (token.as_str().unwrap(), expires.as_str().unwrap());
    assert_eq!(answer.status, 200);
    assert_eq!(
        cookies,
        [format!("coatcheck_session={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=3600")]
    );
    let expires = chrono::DateTime::parse_from_rfc3339(expires).unwrap().timestamp();
    assert!((seconds(3500)..=seconds(3600)).contains(&expires));
    for request in
        [as_bearer(stack.request(Method::GET, ME), token), with_cookie(stack.request(Method::GET, ME), token)]
    {
        assert_eq!(ask(request).await.unwrap().json()["id"], user);
    }

    let over_tls = stack.request(Method::POST, SESSION).header("X-Forwarded-Proto", "https");
    let over_tls = ask(over_tls.body(credentials("ada", PASSWORD).to_string())).await.unwrap();
    assert!(over_tls.header("set-cookie").contains("; Secure"), "{}", over_tls.header("set-cookie"));

    let out = ask(with_cookie(stack.request(Method::DELETE, SESSION), token)).await.unwrap();
    assert_eq!((out.status, out.body.len()), (204, 0));
    assert_eq!(out.header("set-cookie"), "coatcheck_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    // Whatever is in it.
    for cookie in ["", "nonsense"] {
        let out = ask(with_cookie(stack.request(Method::DELETE, SESSION), cookie)).await.unwrap();
        assert_eq!(out.status, 204);
    }
});

on_both_stacks!(a_wrong_password_and_an_unknown_user_are_refused_alike, |stack| async move {
    stack.register("ada").await;
    let mut answers = Vec::new();
    for (name, password) in
        [("ada", "correct horsf"), ("ada", ""), ("bob", PASSWORD), ("", PASSWORD), (" a", "x")]
    {
        answers.push(stack.log_in_with(name, password).await);
    }

    for answer in &answers {
        let told = answer.problem(401, "invalid-credentials");
        let first = answers[0].json();
        assert_eq!(told, changed(first, json!({"request_id": told["request_id"]})));
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.header("set-cookie"), "");
    }
});

on_both_stacks!(
    a_token_that_does_not_hold_is_refused_wherever_one_is_read,
    [("JWT_SECRET", SECRET)],
    |stack| {
        async move {
            let user = stack.register("mallory").await;
            let (head, body) = (header(SECRET), claims(&user, &[]));
            let holds = signed(&head, &body, SECRET);
            assert_eq!(stack.me(&holds).await.status, 200);

            let other = "another secret of 32 bytes and more";
            let with_head = |changes| signed(&changed(head.clone(), changes), &body, SECRET);
            let with_body = |changes| signed(&head, &changed(body.clone(), changes), SECRET);
            let unsigned = |alg: &str| {
                format!("{}.{}.", encoded(&changed(head.clone(), json!({"alg": alg}))), encoded(&body))
            };
            let parts: Vec<&str> = holds.split('.').collect();
            let granted = encoded(&claims(&user, &["admin"]));
            let key = json!({"kty": "oct", "k": "AAAA", "alg": "HS256"});
            let tokens = [
                ("nothing", String::new()),
                ("no token", "nonsense".to_owned()),
                ("dots", "..".to_owned()),
                ("no signature", format!("{}.{}", parts[0], parts[1])),
                ("an empty signature", format!("{}.{}.", parts[0], parts[1])),
                ("more parts", format!("{holds}.{}", parts[2])),
                ("alg none", unsigned("none")),
                ("alg None", unsigned("None")),
                ("alg none, signed", with_head(json!({"alg": "none"}))),
                ("no alg", with_head(json!({"alg": null}))),
                ("alg HS512", with_head(json!({"alg": "HS512"}))),
                ("alg RS256", with_head(json!({"alg": "RS256"}))),
                ("alg EdDSA", with_head(json!({"alg": "EdDSA"}))),
                ("another key", signed(&head, &body, other)),
                ("another key, by its id", signed(&header(other), &body, other)),
                ("no kid", with_head(json!({"kid": null}))),
                (
                    "a kid that is a path",
                    signed(&changed(head.clone(), json!({"kid": "../../dev/null"})), &body, ""),
                ),
                ("a kid that is a number", with_head(json!({"kid": 1}))),
                ("jku", with_head(json!({"jku": "http://127.0.0.1:1/keys"}))),
                ("jwk", with_head(json!({"jwk": key}))),
                ("x5u", with_head(json!({"x5u": "http://127.0.0.1:1/certificate"}))),
                ("crit", with_head(json!({"crit": ["exp"]}))),
                ("rights added", format!("{}.{granted}.{}", parts[0], parts[2])),
                ("rights added, by another key", signed(&head, &claims(&user, &["admin"]), other)),
                ("expired", with_body(json!({"exp": seconds(-5)}))),
                ("expired long ago", with_body(json!({"exp": 1}))),
                ("no exp", with_body(json!({"exp": null}))),
                ("exp as a text", with_body(json!({"exp": "tomorrow"}))),
                ("not yet", with_body(json!({"nbf": seconds(600)}))),
                ("no sub", with_body(json!({"sub": null}))),
                ("sub of nonsense", with_body(json!({"sub": "' OR 1=1--"}))),
                ("10 kB", with_body(json!({"more": "x".repeat(10_000)}))),
            ];
            for (what, token) in &tokens {
                for bring in [as_bearer, with_cookie] {
                    for request in [
                        stack.request(Method::GET, ME),
                        stack.put_request("file", "abc"),
                        stack.post_request("file", "abc"),
                    ] {
                        let answer = ask(bring(request, token)).await.unwrap();
                        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
                        answer.problem(401, "unauthenticated");
                        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
                    }
                }
            }
            let gone = signed(&head, &claims("0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", &[]), SECRET);
            stack.me(&gone).await.problem(401, "unauthenticated");
            assert_eq!(stack.tasks("").await.len(), 0);
        }
    }
);

on_both_stacks!(one_token_is_brought_and_brought_well, |stack| async move {
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let me = || stack.request(Method::GET, ME);
    let named = format!("coatcheck_session={token}");
    let basic = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";

    for refused in [
        me(),
        me().header(COOKIE, "session=abc"),
        me().header(COOKIE, format!("{named}; {named}; {named}")),
        me().header(COOKIE, &named).header(COOKIE, &named),
        as_bearer(as_bearer(me(), &token), &token),
        me().header(AUTHORIZATION, &token),
        me().header(AUTHORIZATION, basic),
        with_cookie(me().header(AUTHORIZATION, basic), &token),
        with_cookie(as_bearer(me(), "nonsense"), &token),
    ] {
        ask(refused).await.unwrap().problem(401, "unauthenticated");
    }
    for taken in [
        me().header(AUTHORIZATION, format!("bearer {token}")),
        me().header(COOKIE, format!("a=b; {named}; c=d")),
        with_cookie(as_bearer(me(), &token), "nonsense"),
    ] {
        assert_eq!(ask(taken).await.unwrap().status, 200);
    }
    // Who needs no log-in may have one elsewhere.
    let upload = stack.put_request("file", "abc").header(AUTHORIZATION, basic).header(COOKIE, "session=abc");
    assert_eq!(ask(upload).await.unwrap().status, 202);
});

on_both_stacks!(another_site_can_not_use_a_browsers_cookie, |stack| async move {
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let own = format!("http://{}", stack.address());
    let foreign = [(ORIGIN, "http://evil.example"), (ORIGIN, "null"), (ORIGIN, "http://127.0.0.1:1")];
    let site = |value| ("sec-fetch-site".parse().unwrap(), value);
    for (name, value) in foreign.into_iter().chain([site("cross-site")]) {
        for request in [
            with_cookie(stack.put_request("file", "abc"), &token),
            with_cookie(stack.post_request("file", "abc"), &token),
            with_cookie(stack.request(Method::PUT, &format!("/api/v1/users/{token}/rights/paid")), &token),
            stack.request(Method::POST, SESSION).body(credentials("ada", PASSWORD).to_string()),
            with_cookie(stack.request(Method::DELETE, SESSION), &token),
        ] {
            ask(request.header(name.clone(), value)).await.unwrap().problem(403, "forbidden");
        }
        // A token that a script has brought itself is no browser's doing; and reading changes nothing.
        for request in [
            as_bearer(stack.put_request("file", "abc"), &token),
            with_cookie(stack.request(Method::GET, ME), &token),
        ] {
            assert!(ask(request.header(name.clone(), value)).await.unwrap().status < 300);
        }
    }
    for (name, value) in [(ORIGIN, &*own), site("same-origin"), site("none"), (HOST, &stack.address())] {
        let request = with_cookie(stack.put_request("file", "abc"), &token);
        assert_eq!(ask(request.header(name, value)).await.unwrap().status, 202, "{value}");
    }
});

/// Tries a wrong password, at an address of the stack's, from an address of the client's.
async fn guess(stack: &Stack, at: &str, username: &str, from: &str) -> Answer {
    let request = stack.request(Method::POST, &format!("{at}{SESSION}")).header("X-Forwarded-For", from);
    ask(request.body(credentials(username, "a wrong password").to_string())).await.unwrap()
}

/// What a test of guesses holds against one API or two.
async fn guesses_are_few(stack: &Stack, addresses: &[String]) {
    for name in ["ada", "bob"] {
        stack.register(name).await;
    }
    let at = |attempt: usize| &*addresses[attempt % addresses.len()];
    for name in ["ada", "nobody"] {
        for attempt in 0..20 {
            guess(stack, at(attempt), name, "203.0.113.1").await.problem(401, "invalid-credentials");
        }
        for attempt in 0..2 {
            let answer = guess(stack, at(attempt), name, "203.0.113.2").await;
            answer.problem(429, "too-many-requests");
            let pause: u32 = answer.header("retry-after").parse().unwrap();
            assert!((1..=301).contains(&pause), "{pause}");
        }
        // The right one, too: or guessing would go on.
        stack.log_in_with(name, PASSWORD).await.problem(429, "too-many-requests");
    }
    // Who logs in begins anew; others are not held up.
    for round in 0..2 {
        for attempt in 0..15 {
            guess(stack, at(attempt), "bob", "203.0.113.3").await.problem(401, "invalid-credentials");
        }
        assert_eq!(stack.log_in_with("bob", PASSWORD).await.status, 200, "{round}");
    }
    // One address may not try all names.
    for name in 0..5 {
        for attempt in 0..20 {
            let answer = guess(stack, at(attempt), &format!("name-{name}"), "203.0.113.4").await;
            answer.problem(401, "invalid-credentials");
        }
    }
    // While Redis does not answer in time each API counts for itself: then it is told later, but it is told.
    let mut more = 0;
    while guess(stack, at(more), &format!("another-{more}"), "203.0.113.4").await.status != 429 {
        more += 1;
        assert!(more < 200, "{more} guesses more");
    }
    guess(stack, at(1), "one more", "203.0.113.5").await.problem(401, "invalid-credentials");
}

on_both_stacks!(who_guesses_passwords_is_told_to_wait, |stack| async move {
    guesses_are_few(&stack, &[stack.address()]).await;
});

on_distributed!(guesses_at_two_apis_are_counted_together, [], |stack| async move {
    let mut second_api = stack.extra(&["api"], &[]);
    let addresses = [stack.address(), second_api.address().await];
    guesses_are_few(&stack, &addresses).await;
});

on_both_stacks!(guesses_that_come_all_at_once_are_no_more, |stack| async move {
    stack.register("ada").await;
    let guesses = (0..40).map(|guess| {
        let password = if guess == 35 { PASSWORD } else { "a wrong password" };
        stack.log_in_with("ada", password)
    });

    let answers = join_all(guesses).await;

    let told = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // If the right one was among the first, the count begins anew with it.
    assert!(told(401) <= 20 * (1 + told(200)), "{}", told(401));
    assert_eq!(told(401) + told(429) + told(200), 40);
});

on_both_stacks!(users_who_log_in_at_once_are_all_let_in, |stack| async move {
    stack.register("ada").await;

    let answers = join_all((0..40).map(|_| stack.log_in_with("ada", PASSWORD))).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
});

on_both_stacks!(
    a_new_key_signs_while_the_old_one_still_verifies,
    [("JWT_SECRET", SECRET)],
    |stack| async move {
        const NEW: &str = "the next secret of 32 bytes and some more";
        let role: &[&str] = if stack.is_distributed() { &["api"] } else { &[] };
        stack.register("ada").await;
        let old_token = stack.log_in("ada").await;
        stack.kill();

        let both = format!("{NEW},{SECRET}");
        let mut rotating = stack.extra(role, &[("JWT_SECRET", &both)]);
        let address = rotating.address().await;
        let me = async |address: &str, token: &str| {
            stack.ask_as(token, Method::GET, &format!("{address}{ME}")).await.status
        };
        let log_in = stack.post_json(&format!("{address}{SESSION}"), &credentials("ada", PASSWORD)).await;
        let new_token = log_in.json()["token"].as_str().unwrap().to_owned();
        assert_eq!((me(&address, &old_token).await, me(&address, &new_token).await), (200, 200));
        drop(rotating);

        let mut rotated = stack.extra(role, &[("JWT_SECRET", NEW)]);
        let address = rotated.address().await;
        assert_eq!((me(&address, &old_token).await, me(&address, &new_token).await), (401, 200));
    }
);

on_both_stacks!(a_secret_that_nobody_has_set_is_made_once_and_kept, |stack| async move {
    use std::os::unix::fs::PermissionsExt;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    stack.kill();
    stack.start().await;

    assert_eq!(stack.me(&token).await.status, 200);
    let kept = std::fs::metadata(stack.data("jwt-secret")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
});

#[tokio::test]
async fn a_secret_that_is_too_short_is_refused() {
    for secret in ["", "short", &format!("{SECRET},short"), &format!("{SECRET},"), &"x".repeat(31)] {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = crate::program::coatcheck(folder.path(), [""; 0]);
        command.env("LISTEN", "127.0.0.1:0").env("JWT_SECRET", secret);

        let done = output(command).await;

        refused(&done, "JWT_SECRET");
        assert!(secret.is_empty() || !String::from_utf8_lossy(&done.stderr).contains(secret));
    }
}

on_embedded!(a_server_that_can_not_keep_its_secret_serves_all_the_same, [], |stack| async move {
    stack.kill();
    let secret = stack.data("jwt-secret");
    std::fs::remove_file(&secret).unwrap();
    std::fs::create_dir(&secret).unwrap();
    stack.start().await;

    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    assert_eq!(stack.me(&token).await.status, 200);
});

on_distributed!(without_redis_users_log_in_and_guesses_are_few_all_the_same, [], |stack| async move {
    stack.register("ada").await;
    let mut api = stack.extra(&["api"], &[("REDIS_URL", "redis://127.0.0.1:9")]);
    let address = api.address().await;

    let log_in = stack.post_json(&format!("{address}{SESSION}"), &credentials("ada", PASSWORD)).await;
    for _ in 0..20 {
        guess(&stack, &address, "ada", "203.0.113.1").await.problem(401, "invalid-credentials");
    }

    assert_eq!(log_in.status, 200);
    guess(&stack, &address, "ada", "203.0.113.1").await.problem(429, "too-many-requests");
});
