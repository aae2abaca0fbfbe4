//! Log-ins: which are accepted, and which tokens are valid.

use futures::future::join_all;
use reqwest::header::{AUTHORIZATION, COOKIE, HOST, HeaderValue, ORIGIN};
use reqwest::{Method, RequestBuilder, Response};
use rstest_reuse::apply;
use serde_json::json;
use test_kit::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::cli::settings::refused;
use crate::kit::client::{Answer, accepted, ask};
use crate::kit::people::{
    PASSWORD, SECRET, as_bearer, changed, claims, cookie_of, credentials, encoded, header, seconds, signed,
    with_cookie,
};
use crate::kit::program::{Program, output};
use crate::kit::stack::{Setup, Stack, both_stacks, distributed, embedded};

const ME: &str = "/api/v1/users/me";
/// The tests' own address is a proxy's.
const PROXIED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.0/8");
const SESSION: &str = "/api/v1/session";

#[apply(both_stacks)]
async fn a_log_in_gives_a_token_and_a_cookie_that_both_hold(setup: Setup) {
    let stack = setup.start(&[]).await;
    let user = stack.register("ada").await;

    let answer = stack.log_in_with("ada", PASSWORD).await;

    let name = cookie_of(&answer);
    let cookies: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let (token, expires) = (answer.json()["token"].clone(), answer.json()["expires"].clone());
    let (token, expires) = (token.as_str().unwrap(), expires.as_str().unwrap());
    assert_eq!(answer.status, 200);
    assert!(name.starts_with("coatcheck_") && name == stack.cookie().await, "{name}");
    assert_eq!(cookies, [format!("{name}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=3600")]);
    let expires = chrono::DateTime::parse_from_rfc3339(expires).unwrap().timestamp();
    assert!((seconds(3500)..=seconds(3600)).contains(&expires));
    let me = || stack.request(Method::GET, ME);
    for request in [as_bearer(me(), token), with_cookie(&name, me(), token)] {
        assert_eq!(ask(request).await.unwrap().json()["id"], user);
    }

    let out = ask(with_cookie(&name, stack.request(Method::DELETE, SESSION), token)).await.unwrap();
    assert_eq!((out.status, out.body.len()), (204, 0));
    assert_eq!(out.header("set-cookie"), format!("{name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"));
    // Whatever the cookie contains.
    for cookie in ["", "nonsense"] {
        let out = ask(with_cookie(&name, stack.request(Method::DELETE, SESSION), cookie)).await.unwrap();
        assert_eq!(out.status, 204);
    }
}

#[apply(both_stacks)]
async fn over_tls_the_cookie_is_one_that_no_sibling_domain_can_set(setup: Setup) {
    let stack = setup.start(&[PROXIED]).await;
    stack.register("ada").await;
    let over_tls = |request: RequestBuilder| request.header("X-Forwarded-Proto", "https");
    let log_in =
        over_tls(stack.request(Method::POST, SESSION)).body(credentials("ada", PASSWORD).to_string());

    let answer = ask(log_in).await.unwrap();

    let (plain, name) = (stack.cookie().await, cookie_of(&answer));
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("__Host-{plain}"));
    let attributes = "HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=3600";
    assert_eq!(answer.header("set-cookie"), format!("{name}={token}; {attributes}"));
    // A sibling domain can set the one without the prefix.
    let me = || over_tls(stack.request(Method::GET, ME));
    assert_eq!(ask(with_cookie(&name, me(), &token)).await.unwrap().status, 200);
    ask(with_cookie(&plain, me(), &token)).await.unwrap().problem(401, "unauthenticated");
    let out = ask(over_tls(stack.request(Method::DELETE, SESSION))).await.unwrap();
    assert_eq!(cookie_of(&out), name);
}

#[apply(both_stacks)]
async fn only_a_trusted_proxy_says_that_there_was_tls(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let log_in = stack.request(Method::POST, SESSION).header("X-Forwarded-Proto", "https");

    let answer = ask(log_in.body(credentials("ada", PASSWORD).to_string())).await.unwrap();

    assert!(!answer.header("set-cookie").contains("Secure"), "{}", answer.header("set-cookie"));
    assert_eq!(answer.header("strict-transport-security"), "");
}

#[apply(both_stacks)]
async fn each_deployment_has_a_cookie_of_its_own_and_judges_no_other(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let answer = stack.log_in_with("ada", PASSWORD).await;
    let (name, token) = (cookie_of(&answer), answer.json()["token"].as_str().unwrap().to_owned());
    let other = Stack::embedded(&[]);
    other.start().await;
    let other_name = other.cookie().await;
    assert_ne!(name, other_name);
    if stack.is_distributed() {
        let mut second = stack.extra(&["api"], &[]);
        let out = format!("{}{SESSION}", second.address().await);
        assert_eq!(cookie_of(&ask(stack.request(Method::DELETE, &out)).await.unwrap()), name);
    }

    let me = || stack.request(Method::GET, ME);
    let latin_1 = HeaderValue::from_bytes(b"theme=caf\xe9; x").unwrap();
    for beside in [
        me().header(COOKIE, latin_1),
        me().header(COOKIE, format!("{other_name}=nonsense; __Host-{name}=nonsense; coatcheck_session=x")),
        me().header(COOKIE, format!("{name}x=nonsense; x{name}=nonsense; {name}; =; ;")),
        me().header(AUTHORIZATION, "Basic YWRhOmNvcnJlY3QgaG9yc2U="),
    ] {
        let beside = beside.build().unwrap();
        for token in [&*token, "nonsense"] {
            let mut request = beside.try_clone().unwrap();
            request.headers_mut().append(COOKIE, format!("{name}={token}").parse().unwrap());
            let status = stack.http.execute(request).await.unwrap().status();
            assert_eq!(status, if token == "nonsense" { 401 } else { 200 });
        }
        // Credentials of other programs are ignored: where no log-in is needed the request is anonymous.
        let mut upload = stack.put_request("file", "abc").build().unwrap();
        upload.headers_mut().extend(beside.headers().clone());
        assert_eq!(stack.http.execute(upload).await.unwrap().status(), 202);
    }
}

#[apply(both_stacks)]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike(setup: Setup) {
    let stack = setup.start(&[]).await;
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
}

#[apply(both_stacks)]
async fn a_token_that_does_not_hold_is_refused_wherever_one_is_read(setup: Setup) {
    let stack = setup.start(&[("JWT_SECRET", SECRET)]).await;
    let user = stack.register("mallory").await;
    let (head, body) = (header(SECRET), claims(&user, &[]));
    let holds = signed(&head, &body, SECRET);
    assert_eq!(stack.me(&holds).await.status, 200);

    let other = "another secret of 32 bytes and more";
    let with_head = |changes| signed(&changed(head.clone(), changes), &body, SECRET);
    let with_body = |changes| signed(&head, &changed(body.clone(), changes), SECRET);
    let unsigned =
        |alg: &str| format!("{}.{}.", encoded(&changed(head.clone(), json!({"alg": alg}))), encoded(&body));
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
        ("a kid that is a path", signed(&changed(head.clone(), json!({"kid": "../../dev/null"})), &body, "")),
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
    let name = stack.cookie().await;
    let by_cookie = |request, token: &str| with_cookie(&name, request, token);
    for (what, token) in &tokens {
        for bring in [&as_bearer as &dyn Fn(RequestBuilder, &str) -> RequestBuilder, &by_cookie] {
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

#[apply(both_stacks)]
async fn one_token_is_brought_and_brought_well(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let me = || stack.request(Method::GET, ME);
    let name = stack.cookie().await;
    let named = format!("{name}={token}");
    let basic = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";

    for refused in [
        me(),
        me().header(COOKIE, "session=abc"),
        me().header(COOKIE, format!("{named}; {named}; {named}")),
        me().header(COOKIE, &named).header(COOKIE, &named),
        as_bearer(as_bearer(me(), &token), &token),
        me().header(AUTHORIZATION, &token),
        me().header(AUTHORIZATION, basic),
        with_cookie(&name, as_bearer(me(), "nonsense"), &token),
    ] {
        ask(refused).await.unwrap().problem(401, "unauthenticated");
    }
    for taken in [
        me().header(AUTHORIZATION, format!("bearer {token}")),
        me().header(COOKIE, format!("a=b; {named}; c=d")),
        with_cookie(&name, as_bearer(me(), &token), "nonsense"),
        with_cookie(&name, me().header(AUTHORIZATION, basic), &token),
    ] {
        assert_eq!(ask(taken).await.unwrap().status, 200);
    }
    // Where no log-in is needed a client may bring credentials for another server.
    let upload = stack.put_request("file", "abc").header(AUTHORIZATION, basic).header(COOKIE, "session=abc");
    assert_eq!(ask(upload).await.unwrap().status, 202);
}

#[apply(both_stacks)]
async fn another_site_can_not_use_a_browsers_cookie(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let name = stack.cookie().await;
    let own = format!("http://{}", stack.address());
    let foreign = [(ORIGIN, "http://evil.example"), (ORIGIN, "null"), (ORIGIN, "http://127.0.0.1:1")];
    let site = |value| ("sec-fetch-site".parse().unwrap(), value);
    let right = format!("/api/v1/users/{token}/rights/paid");
    for (header, value) in foreign.into_iter().chain([site("cross-site"), site("same-site")]) {
        for request in [
            with_cookie(&name, stack.put_request("file", "abc"), &token),
            with_cookie(&name, stack.post_request("file", "abc"), &token),
            with_cookie(&name, stack.request(Method::PUT, &right), &token),
            stack.request(Method::POST, SESSION).body(credentials("ada", PASSWORD).to_string()),
            with_cookie(&name, stack.request(Method::DELETE, SESSION), &token),
            // No log-in is needed here: another site could come in through the browser.
            stack.put_request("file", "abc"),
            stack.post_request("file", "abc"),
            stack.request(Method::POST, "/api/data").body(r#"{"log": "127.0.0.1 GET / 200"}"#),
            stack.request(Method::POST, "/api/data/bulk").header("content-type", "text/plain").body("x"),
            stack.request(Method::DELETE, "/api/v1/tasks/0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d"),
            stack.request(Method::POST, "/api/v1/users").body(credentials("eve", PASSWORD).to_string()),
        ] {
            ask(request.header(header.clone(), value)).await.unwrap().problem(403, "forbidden");
        }
        // A browser does not add a token that a script brings itself; and reading changes nothing.
        for request in [
            as_bearer(stack.put_request("file", "abc"), &token),
            with_cookie(&name, stack.request(Method::GET, ME), &token),
        ] {
            assert!(ask(request.header(header.clone(), value)).await.unwrap().status < 300);
        }
    }
    for (header, value) in [(ORIGIN, &*own), site("same-origin"), site("none"), (HOST, &stack.address())] {
        let request = with_cookie(&name, stack.put_request("file", "abc"), &token);
        assert_eq!(ask(request.header(header, value)).await.unwrap().status, 202, "{value}");
    }
}

#[apply(both_stacks)]
async fn without_auth_only_known_hosts_are_answered(setup: Setup) {
    let stack = setup.start(&[("ALLOWED_HOSTS", "files.example")]).await;
    let port = stack.address().split_once(':').unwrap().1.to_owned();
    let of = |method: Method, path: &str, host: &str| stack.request(method, path).header(HOST, host);
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "a.files.example".to_owned()] {
        for request in [
            of(Method::GET, "/", &host),
            of(Method::GET, "/api/v1/tasks", &host),
            of(Method::GET, "/api/data", &host),
            of(Method::GET, "/metrics", &host),
            of(Method::GET, "/openapi.json", &host),
            of(Method::PUT, "/api/v1/md5/a", &host).body("abc"),
        ] {
            let problem = ask(request).await.unwrap().problem(403, "forbidden");
            assert!(problem["detail"].as_str().unwrap().contains("ALLOWED_HOSTS"), "{problem}");
        }
        // Health checks may use any host name.
        assert_eq!(ask(of(Method::GET, "/healthz", &host)).await.unwrap().status, 200);
    }
    for host in
        ["localhost".to_owned(), format!("localhost:{port}"), "files.example".to_owned(), stack.address()]
    {
        assert_eq!(ask(of(Method::GET, "/api/v1/tasks", &host)).await.unwrap().status, 200, "{host}");
    }
    assert_eq!(stack.tasks("").await.len(), 0);
}

#[apply(both_stacks)]
async fn with_auth_a_host_may_have_any_name(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    let request = stack.request(Method::GET, "/").header(HOST, "files.example");
    assert_eq!(ask(request).await.unwrap().status, 200);
}

/// Tries a wrong password, at an address of the stack's, from an address of the client's.
async fn guess(stack: &Stack, at: &str, username: &str, from: &str) -> Answer {
    let request = stack.request(Method::POST, &format!("{at}{SESSION}")).header("X-Forwarded-For", from);
    ask(request.body(credentials(username, "a wrong password").to_string())).await.unwrap()
}

/// Checks the limit on guesses against one API or two.
async fn guesses_are_few(stack: &Stack, addresses: &[String]) {
    for name in ["ada", "bob"] {
        stack.register(name).await;
    }
    let at = |attempt: usize| &*addresses[attempt % addresses.len()];
    let log_in = async |name: &str, from: &str| {
        let request = stack.request(Method::POST, SESSION).header("X-Forwarded-For", from);
        ask(request.body(credentials(name, PASSWORD).to_string())).await.unwrap()
    };
    for name in ["ada", "nobody"] {
        for attempt in 0..20 {
            // However it is typed, and from whichever address of a client's network.
            let (typed, from) = [(name.to_owned(), "2001:db8::1"), (name.to_uppercase(), "2001:db8::2:3")]
                [attempt % 2]
                .clone();
            guess(stack, at(attempt), &typed, from).await.problem(401, "invalid-credentials");
        }
        for attempt in 0..2 {
            let answer = guess(stack, at(attempt), name, "2001:db8::1").await;
            answer.problem(429, "too-many-requests");
            let pause: u32 = answer.header("retry-after").parse().unwrap();
            assert!((1..=301).contains(&pause), "{pause}");
        }
        // The right one, too: or guessing would go on.
        log_in(name, "2001:db8::ffff").await.problem(429, "too-many-requests");
        // It does not lock out any other user.
        guess(stack, at(0), name, "2001:db8:0:1::1").await.problem(401, "invalid-credentials");
    }
    assert_eq!(log_in("ada", "203.0.113.2").await.status, 200);
    // A log-in resets the count; other users are not held up.
    for round in 0..2 {
        for attempt in 0..15 {
            guess(stack, at(attempt), "bob", "203.0.113.3").await.problem(401, "invalid-credentials");
        }
        assert_eq!(log_in("bob", "203.0.113.3").await.status, 200, "{round}");
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

#[apply(both_stacks)]
async fn who_guesses_passwords_is_told_to_wait(setup: Setup) {
    let stack = setup.start(&[PROXIED]).await;
    guesses_are_few(&stack, &[stack.address()]).await;
}

#[apply(distributed)]
async fn guesses_at_two_apis_are_counted_together(setup: Setup) {
    let stack = setup.start(&[PROXIED]).await;
    let mut second_api = stack.extra(&["api"], &[]);
    let addresses = [stack.address(), second_api.address().await];
    guesses_are_few(&stack, &addresses).await;
}

#[apply(both_stacks)]
async fn no_address_hides_behind_what_it_says_of_itself(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    for attempt in 0..20 {
        let from = format!("203.0.113.{attempt}");
        guess(&stack, &stack.address(), "ada", &from).await.problem(401, "invalid-credentials");
    }
    guess(&stack, &stack.address(), "ada", "203.0.113.99").await.problem(429, "too-many-requests");
}

#[apply(both_stacks)]
async fn registrations_from_an_address_are_counted_taken_names_too(setup: Setup) {
    let stack = setup.start(&[PROXIED]).await;
    let register = async |name: &str, from: &str| {
        let request = stack.request(Method::POST, "/api/v1/users").header("X-Forwarded-For", from);
        ask(request.body(credentials(name, PASSWORD).to_string())).await.unwrap()
    };
    assert_eq!(register("ada", "203.0.113.1").await.status, 201);
    for _ in 0..99 {
        register("ADA", "203.0.113.1").await.problem(409, "username-taken");
    }
    for name in ["ada", "bob"] {
        register(name, "203.0.113.1").await.problem(429, "too-many-requests");
    }
    assert_eq!(register("bob", "203.0.113.2").await.status, 201);
}

#[apply(distributed)]
async fn no_failing_name_is_kept_as_it_was_typed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let typed = "mypasswordinthewrongfield";
    stack.log_in_with(typed, "x").await.problem(401, "invalid-credentials");

    let (server, number) = stack.setting("REDIS_URL").unwrap()["redis://".len()..].rsplit_once('/').unwrap();
    let mut connection = TcpStream::connect(server).await.unwrap();
    connection.write_all(format!("SELECT {number}\r\nKEYS *\r\nQUIT\r\n").as_bytes()).await.unwrap();
    let mut keys = String::new();
    connection.read_to_string(&mut keys).await.unwrap();
    assert!(keys.contains("login:name:") && !keys.contains(typed), "{keys}");
}

#[apply(both_stacks)]
async fn guesses_that_come_all_at_once_are_no_more(setup: Setup) {
    let stack = setup.start(&[]).await;
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
}

#[apply(both_stacks)]
async fn users_who_log_in_at_once_are_all_let_in(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;

    let answers = join_all((0..40).map(|_| stack.log_in_with("ada", PASSWORD))).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[apply(both_stacks)]
async fn a_new_key_signs_while_the_old_one_still_verifies(setup: Setup) {
    let stack = setup.start(&[("JWT_SECRET", SECRET)]).await;
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

#[apply(both_stacks)]
async fn a_secret_that_nobody_has_set_is_made_once_and_kept(setup: Setup) {
    let stack = setup.start(&[]).await;
    use std::os::unix::fs::PermissionsExt;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    stack.kill();
    stack.start().await;

    assert_eq!(stack.me(&token).await.status, 200);
    let kept = std::fs::metadata(stack.data("jwt-secret")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
}

#[apply(both_stacks)]
async fn sessions_end_with_a_changed_password_and_where_they_are_ended(setup: Setup) {
    let stack = setup.start(&[]).await;
    const NEXT: &str = "battery staple";
    let ada = stack.register("ada").await;
    let (one, other) = (stack.log_in("ada").await, stack.log_in("ada").await);
    let root = stack.admin("root").await;
    let (_, key) = stack.key(&one, "a key").await;
    let change = async |token: &str, current: &str, new: &str| {
        let request = as_bearer(stack.request(Method::PUT, "/api/v1/users/me/password"), token);
        ask(request.body(json!({"current": current, "new": new}).to_string())).await.unwrap()
    };

    change(&one, "a wrong password", NEXT).await.problem(401, "invalid-credentials");
    change(&one, PASSWORD, "short").await.problem(422, "invalid-user");
    change(&key, PASSWORD, NEXT).await.problem(403, "forbidden");
    let changed = change(&one, PASSWORD, NEXT).await;

    assert_eq!((changed.status, cookie_of(&changed)), (200, stack.cookie().await));
    let next = changed.json()["token"].as_str().unwrap().to_owned();
    for token in [&one, &other] {
        stack.me(token).await.problem(401, "unauthenticated");
    }
    assert_eq!((stack.me(&next).await.status, stack.me(&key).await.status), (200, 200));
    stack.log_in_with("ada", PASSWORD).await.problem(401, "invalid-credentials");
    let again = stack.log_in_with("ada", NEXT).await.json()["token"].as_str().unwrap().to_owned();

    // By everyone for himself, by admins for all, and by the command.
    let end = async |token: &str, of: &str| {
        stack.ask_as(token, Method::DELETE, &format!("/api/v1/users/{of}/sessions")).await
    };
    end(&root, "nonsense").await.problem(400, "invalid-id");
    end(&next, &ada).await.problem(403, "forbidden");
    assert_eq!(end(&next, "me").await.status, 204);
    for token in [&next, &again] {
        stack.me(token).await.problem(401, "unauthenticated");
    }
    for by_command in [false, true] {
        let token = stack.log_in_with("ada", NEXT).await.json()["token"].as_str().unwrap().to_owned();
        match by_command {
            true => assert!(output(stack.user_command(&["logout", "ada"])).await.status.success()),
            false => assert_eq!(end(&root, &ada).await.status, 204),
        }
        stack.me(&token).await.problem(401, "unauthenticated");
    }
    assert_eq!((stack.me(&key).await.status, stack.me(&root).await.status), (200, 200));
    let mut command = stack.user_command(&["password", "Ada"]);
    command.env("COATCHECK_PASSWORD", PASSWORD);
    assert!(output(command).await.status.success());
    stack.log_in("ada").await;
}

#[apply(both_stacks)]
async fn a_stream_ends_with_the_session_that_it_was_opened_by(setup: Setup) {
    let stack = setup
        .start(&[
            ("AUTH", "required"),
            ("JWT_SECRET", SECRET),
            ("FREE_URL", "http://127.0.0.1:9"),
            ("MAX_ATTEMPTS", "1000000"),
        ])
        .await;
    let ada = stack.register("ada").await;
    let (root, other) = (stack.admin("root").await, stack.admin("other").await);
    let root_id = stack.me(&root).await.json()["id"].as_str().unwrap().to_owned();
    let message = async |token: &str| {
        let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), token);
        accepted(&ask(request.body(json!({"text": "abc"}).to_string())).await.unwrap())
    };
    let token = stack.log_in("ada").await;
    let id = message(&token).await;
    let path = format!("/api/v1/tasks/{id}/events");
    let open = async |token: &str| {
        let stream = as_bearer(stack.request(Method::GET, &path), token).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let rest = async |stream: Response| {
        timeout(DEADLINE, stream.bytes()).await.expect("the stream goes on").unwrap()
    };
    let expiring = changed(claims(&ada, &[]), json!({"exp": seconds(8)}));
    let (_, key) = stack.key(&token, "a key").await;
    let end = async |method: Method, path: &str| {
        let answer = stack.ask_as(&other, method, &format!("/api/v1/users/{path}")).await;
        assert!(answer.status < 300, "{}", answer.text());
    };

    let expires = open(&signed(&header(SECRET), &expiring, SECRET)).await;
    let [ended, revoked, disabled] = [open(&token).await, open(&root).await, open(&key).await];
    let expires = rest(expires).await;
    end(Method::DELETE, &format!("{ada}/sessions")).await;
    let ended = rest(ended).await;
    end(Method::DELETE, &format!("{root_id}/rights/admin")).await;
    let revoked = rest(revoked).await;
    end(Method::PUT, &format!("{ada}/disabled")).await;
    let disabled = rest(disabled).await;

    for told in [expires, ended, revoked, disabled] {
        assert!(String::from_utf8_lossy(&told).contains(&id), "{told:?}");
    }
}

#[tokio::test]
async fn a_published_secret_is_refused_where_users_log_in() {
    let published = "development-development-development";
    for (secrets, auth, is_refused) in [
        (published.to_owned(), "required", true),
        (format!("{SECRET}, {published}"), "required", true),
        (published.to_owned(), "off", false),
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = crate::kit::program::coatcheck(folder.path(), [""; 0]);
        command.env("LISTEN", "127.0.0.1:0").env("JWT_SECRET", &secrets).env("AUTH", auth);
        match is_refused {
            true => refused(&output(command).await, "JWT_SECRET"),
            false => drop(Program::start(command, folder.path()).address(folder.path()).await),
        }
    }
    let files = concat!(include_str!("../../deployment/env/api.env"), include_str!("../../README.md"));
    assert!(files.contains(&format!("JWT_SECRET={published}")), "it is no longer what is published");
}

#[tokio::test]
async fn a_secret_that_is_too_short_is_refused() {
    for secret in ["", "short", &format!("{SECRET},short"), &format!("{SECRET},"), &"x".repeat(31)] {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = crate::kit::program::coatcheck(folder.path(), [""; 0]);
        command.env("LISTEN", "127.0.0.1:0").env("JWT_SECRET", secret);

        let done = output(command).await;

        refused(&done, "JWT_SECRET");
        assert!(secret.is_empty() || !String::from_utf8_lossy(&done.stderr).contains(secret));
    }
}

#[apply(embedded)]
async fn a_server_that_can_not_keep_its_secret_serves_all_the_same(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.kill();
    let secret = stack.data("jwt-secret");
    std::fs::remove_file(&secret).unwrap();
    std::fs::create_dir(&secret).unwrap();
    stack.start().await;

    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    assert_eq!(stack.me(&token).await.status, 200);
}

#[apply(distributed)]
async fn without_redis_users_log_in_and_guesses_are_few_all_the_same(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let mut api = stack.extra(&["api"], &[("REDIS_URL", "redis://127.0.0.1:9")]);
    let address = api.address().await;

    let log_in = stack.post_json(&format!("{address}{SESSION}"), &credentials("ada", PASSWORD)).await;
    for _ in 0..20 {
        guess(&stack, &address, "ada", "203.0.113.1").await.problem(401, "invalid-credentials");
    }

    assert_eq!(log_in.status, 200);
    guess(&stack, &address, "ada", "203.0.113.1").await.problem(429, "too-many-requests");
}

#[apply(embedded)]
async fn a_client_that_logs_in_all_the_time_keeps_no_other_out(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    stack.register("eve").await;
    let eves = tokio::spawn(join_all((0..100).map(|_| {
        let stack = stack.clone();
        async move { stack.log_in_with("eve", PASSWORD).await.status }
    })));
    let other = TcpSocket::new_v4().unwrap();
    let own_host = stack.address().rsplit_once(':').unwrap().0.to_owned();
    other.bind(format!("{own_host}:0").parse().unwrap()).unwrap();
    let mut connection = other.connect(stack.address().parse().unwrap()).await.unwrap();
    let body = json!({"username": "ada", "password": PASSWORD}).to_string();
    let head = format!("POST /api/v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());

    // While the others wait, again and again.
    for _ in 0..5 {
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = connection.read(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..read]));
    }

    let eves = eves.await.unwrap();
    assert!(eves.iter().all(|status| matches!(status, 200 | 503)), "{eves:?}");
}
