//! AUTH=required: which client may use which route, and whose tasks it sees. The table has every route; one that is added later fails here
//! until the table names its clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::sys::signal::Signal;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::kit::client::{Answer, accepted, ask, read_answer};
use crate::kit::content::md5sum;
use crate::kit::people::{
    PASSWORD, SECRET, as_bearer, changed, claims, credentials, header, seconds, signed, with_cookie,
};
use crate::kit::program::{Program, coatcheck, stderr_of};
use crate::kit::stack::{Setup, Stack, both_stacks};

const NOBODY: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
/// An address whose answer has no end.
const OUTCOME_EVENTS: &str = "/api/v1/outcomes/events";
/// An address without a listener: messages and rows wait.
const NOWHERE: &str = "http://127.0.0.1:9";
const SETTINGS: [(&str, &str); 8] = [
    ("AUTH", "required"),
    ("DOCS", "closed"),
    ("METRICS", "closed"),
    ("JWT_SECRET", SECRET),
    ("FREE_URL", NOWHERE),
    ("PAID_URL", NOWHERE),
    ("THIRD_PARTY_URL", NOWHERE),
    ("MAX_ATTEMPTS", "1000000"),
];

/// The clients that a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Anyone,
    Users,
    /// Users who have logged in.
    LoggedIn,
    /// The task's owner, and all who may see every task.
    Owner,
    /// The task's owner, and all who may change every task.
    Changers,
    /// Users who may see all tasks.
    Viewers,
    /// Users who may change all tasks.
    Operators,
    Admins,
}
use For::{Admins, Anyone, Changers, LoggedIn, Operators, Owner, Users, Viewers};
use rstest_reuse::apply;
use test_kit::eventually;

/// The body of the request.
#[derive(Debug, Clone)]
enum Sent {
    Nothing,
    Text(&'static str, String),
    File(&'static str),
}

struct Route {
    method: Method,
    path: &'static str,
    /// The path with its parameters filled in, and a query.
    url: String,
    sent: Sent,
    is_for: For,
    /// The status for a client that is admitted.
    status: u16,
}

/// Ids of Ada's tasks.
struct Hers {
    file: String,
    message: String,
    table: String,
    user: String,
}

fn routes(hers: &Hers) -> Vec<Route> {
    let Hers { file, message, table, user } = hers;
    let route = |method: Method, path, url: String, sent, is_for, status| Route {
        method,
        path,
        url,
        sent,
        is_for,
        status,
    };
    let get = |path, url: String, is_for| route(Method::GET, path, url, Sent::Nothing, is_for, 200);
    let at = |path, is_for| get(path, path.to_owned(), is_for);
    let post = |path: &'static str, sent, is_for, status| {
        route(Method::POST, path, path.to_owned(), sent, is_for, status)
    };
    let delete =
        |path, url: String, is_for, status| route(Method::DELETE, path, url, Sent::Nothing, is_for, status);
    let json = |value: Value| Sent::Text("application/json", value.to_string());
    let (right, disabled) = ("/api/v1/users/{id}/rights/{right}", "/api/v1/users/{id}/disabled");
    let (pause, drain) = ("/api/v1/kinds/{kind}/pause", "/api/v1/workers/{id}/drain");
    vec![
        at("/healthz", Anyone),
        at("/readyz", Anyone),
        post("/api/v1/users", json(json!({})), Anyone, 422),
        post("/api/v1/session", json(credentials("ada", PASSWORD)), Anyone, 200),
        delete("/api/v1/session", "/api/v1/session".to_owned(), Anyone, 204),
        Route { status: 303, ..at("/api/v1/file", Anyone) },
        post("/api/v1/file", Sent::Nothing, Users, 307),
        at("/metrics", Admins),
        at("/openapi.json", Admins),
        at("/api/v1/users/me", Users),
        at("/api/v1/users/me/quotas", Users),
        at("/api/v1/users", Admins),
        route(
            Method::PUT,
            "/api/v1/users/me/password",
            "/api/v1/users/me/password".to_owned(),
            json(json!({})),
            LoggedIn,
            422,
        ),
        delete("/api/v1/users/{id}", format!("/api/v1/users/{NOBODY}"), Admins, 404),
        route(Method::PUT, disabled, format!("/api/v1/users/{NOBODY}/disabled"), Sent::Nothing, Admins, 404),
        delete(disabled, format!("/api/v1/users/{NOBODY}/disabled"), Admins, 404),
        delete("/api/v1/users/{id}/sessions", format!("/api/v1/users/{NOBODY}/sessions"), Admins, 404),
        route(Method::PUT, right, format!("/api/v1/users/{user}/rights/paid"), Sent::Nothing, Admins, 200),
        delete(right, format!("/api/v1/users/{user}/rights/paid"), Admins, 200),
        at("/api/v1/audit", Viewers),
        at("/api/v1/keys", LoggedIn),
        post("/api/v1/keys", json(json!({"name": "another"})), LoggedIn, 201),
        delete("/api/v1/keys/{id}", format!("/api/v1/keys/{NOBODY}"), LoggedIn, 404),
        post("/api/v1/md5", Sent::File("abc"), Users, 202),
        route(
            Method::PUT,
            "/api/v1/md5/{id}",
            "/api/v1/md5/a.txt".to_owned(),
            Sent::Text("text/plain", "abc".to_owned()),
            Users,
            202,
        ),
        route(
            Method::PUT,
            "/api/v1/md5",
            "/api/v1/md5".to_owned(),
            Sent::Text("text/plain", "abc".to_owned()),
            Users,
            202,
        ),
        get("/api/v1/md5", format!("/api/v1/md5?digest={}", md5sum(b"abc")), Users),
        get("/api/v1/md5/{id}", format!("/api/v1/md5/{file}"), Owner),
        at("/api/v1/tasks", Users),
        get("/api/v1/tasks/{id}", format!("/api/v1/tasks/{file}?wait=60"), Owner),
        get("/api/v1/tasks/{id}/attempts", format!("/api/v1/tasks/{file}/attempts"), Owner),
        get("/api/v1/tasks/{id}/events", format!("/api/v1/tasks/{file}/events"), Owner),
        delete("/api/v1/tasks/{id}", format!("/api/v1/tasks/{file}"), Changers, 409),
        route(
            Method::POST,
            "/api/v1/tasks/{id}/retry",
            format!("/api/v1/tasks/{file}/retry"),
            Sent::Nothing,
            Changers,
            409,
        ),
        at("/api/v1/kinds", Viewers),
        get("/api/v1/scale/{kind}", "/api/v1/scale/table".to_owned(), Viewers),
        route(Method::PUT, pause, "/api/v1/kinds/table/pause".to_owned(), Sent::Nothing, Operators, 200),
        delete(pause, "/api/v1/kinds/table/pause".to_owned(), Operators, 200),
        at("/api/v1/stats", Viewers),
        at("/api/v1/workers", Viewers),
        route(Method::PUT, drain, format!("/api/v1/workers/{NOBODY}/drain"), Sent::Nothing, Operators, 404),
        delete(drain, format!("/api/v1/workers/{NOBODY}/drain"), Operators, 404),
        post(
            "/api/v1/tasks/bulk",
            json(json!({"action": "retry", "filter": {"status": "failed"}})),
            Users,
            200,
        ),
        at("/api/v1/outcomes", Users),
        at(OUTCOME_EVENTS, Users),
        post("/api/v1/messages", json(json!({"text": "abc"})), Users, 202),
        get("/api/v1/messages/{id}", format!("/api/v1/messages/{message}"), Owner),
        at("/api/v1/providers/free", Users),
        post("/api/v1/tables", Sent::File("userId,title,body\n"), Users, 202),
        get("/api/v1/tables/{id}", format!("/api/v1/tables/{table}"), Owner),
        get("/api/v1/tables/{id}/rows", format!("/api/v1/tables/{table}/rows"), Owner),
        route(
            Method::POST,
            "/api/v1/tables/{id}/retry",
            format!("/api/v1/tables/{table}/retry"),
            Sent::Nothing,
            Changers,
            409,
        ),
        post("/api/data", json(json!({"log": "127.0.0.1 GET / 200"})), Users, 201),
        at("/api/data", Users),
        post("/api/data/bulk", Sent::Text("text/plain", "127.0.0.1 GET / 200\n".to_owned()), Users, 201),
        at("/api/data/stats", Users),
    ]
}

/// A client: its name here, and its credential.
struct Comer {
    name: &'static str,
    credential: Option<String>,
    /// The cookie's name, where it comes in one.
    cookie: Option<String>,
}

impl Comer {
    /// Returns the expected answer of this route to the client: a status, and a code where it is rejected for its identity.
    fn expected(&self, route: &Route) -> (u16, Option<&'static str>) {
        let is_somebody =
            !matches!(self.name, "nobody" | "expired" | "tampered" | "revoked key" | "key as a cookie");
        let is_admin = self.name.starts_with("admin");
        let is_key = self.name.ends_with("key");
        match route.is_for {
            Anyone => (route.status, None),
            _ if !is_somebody => (401, Some("unauthenticated")),
            Admins if !is_admin => (403, Some("forbidden")),
            LoggedIn if is_key => (403, Some("forbidden")),
            Owner | Changers if self.name.starts_with("other") => (404, Some("task-not-found")),
            Viewers if !is_admin && !matches!(self.name, "viewer" | "operator") => (403, Some("forbidden")),
            Operators if !is_admin && self.name != "operator" => (403, Some("forbidden")),
            Changers if self.name == "viewer" => (403, Some("forbidden")),
            _ => (route.status, None),
        }
    }

    fn bring(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credential {
            None => request,
            Some(token) => match &self.cookie {
                Some(name) => with_cookie(name, request, token),
                None => as_bearer(request, token),
            },
        }
    }
}

impl Stack {
    async fn put_as(&self, token: &str, bytes: &'static str) -> Answer {
        ask(as_bearer(self.put_request("a.txt", bytes), token)).await.unwrap()
    }

    async fn message_as(&self, token: &str, text: &str) -> Answer {
        let request = as_bearer(self.request(Method::POST, "/api/v1/messages"), token);
        ask(request.body(json!({"text": text}).to_string())).await.unwrap()
    }

    async fn table_as(&self, token: &str) -> Answer {
        let form = Form::new().part("file", Part::text("userId,title,body\n").file_name("a.csv"));
        ask(as_bearer(self.request(Method::POST, "/api/v1/tables").multipart(form), token)).await.unwrap()
    }

    /// The ids on a page of tasks.
    async fn listed_as(&self, token: &str, query: &str) -> (Vec<String>, Value) {
        let page = self.ask_as(token, Method::GET, query).await.json();
        let ids = page["tasks"].as_array().unwrap().iter();
        (ids.map(|task| task["id"].as_str().unwrap().to_owned()).collect(), page["next"].clone())
    }
}

/// Everyone who may come, with an owner called Ada; and whose tasks there are.
async fn comers(stack: &Arc<Stack>) -> (Vec<Comer>, Hers) {
    let user = stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob, root) = (stack.log_in("ada").await, stack.log_in("bob").await, stack.admin("root").await);
    let own = changed(claims(&user, &[]), json!({"name": "ada"}));
    let expired = signed(&header(SECRET), &changed(own.clone(), json!({"exp": seconds(-5)})), SECRET);
    let granted = changed(own, json!({"rights": ["admin"]}));
    let tampered = signed(&header(SECRET), &granted, "another secret of 32 bytes and more");
    let (_, key) = stack.key(&ada, "a key").await;
    let (_, other_key) = stack.key(&bob, "his key").await;
    let (_, admin_key) = stack.key(&root, "a key").await;
    let (id, revoked) = stack.key(&ada, "a lost key").await;
    assert_eq!(stack.revoke_key(&ada, &id).await.status, 204);

    let file = accepted(&stack.put_as(&ada, "abc").await);
    stack.until_ended_as(&ada, &file).await;
    let message = accepted(&stack.message_as(&ada, "abc").await);
    let table = accepted(&stack.table_as(&ada).await);
    let comer =
        |name, credential: &str| Comer { name, credential: Some(credential.to_owned()), cookie: None };
    let cookie = Some(stack.cookie().await);
    let comers = vec![
        Comer { name: "nobody", credential: None, cookie: None },
        comer("expired", &expired),
        comer("tampered", &tampered),
        comer("revoked key", &revoked),
        comer("other", &bob),
        comer("other's key", &other_key),
        comer("owner", &ada),
        comer("owner's key", &key),
        comer("admin", &root),
        comer("admin's key", &admin_key),
        comer("operator", &stack.with_right("operator").await),
        comer("viewer", &stack.with_right("viewer").await),
        Comer { cookie: cookie.clone(), ..comer("owner by cookie", &ada) },
        Comer { cookie: cookie.clone(), ..comer("other by cookie", &bob) },
        Comer { cookie: cookie.clone(), ..comer("key as a cookie", &key) },
    ];
    (comers, Hers { file, message, table, user })
}

#[apply(both_stacks)]
async fn each_route_lets_in_whom_it_is_for_and_nobody_else(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    let (comers, hers) = comers(&stack).await;
    let http = crate::kit::client::http().build().unwrap();
    let routes = routes(&hers);
    // Hers.
    let (mut tasks, mut records) = (3, 0);

    for route in &routes {
        for comer in &comers {
            let request = http.request(route.method.clone(), stack.url(&route.url));
            let request = match route.sent.clone() {
                Sent::Nothing => request,
                Sent::Text(media_type, text) => request.header("Content-Type", media_type).body(text),
                Sent::File(text) => {
                    request.multipart(Form::new().part("file", Part::text(text).file_name("a")))
                }
            };
            let (status, code) = comer.expected(route);
            if route.path == OUTCOME_EVENTS && status == 200 {
                let response = comer.bring(request).send().await.unwrap();
                assert_eq!(response.status(), 200, "{} by {}", route.url, comer.name);
                continue;
            }
            let answer = ask(comer.bring(request)).await.unwrap();

            let told = format!("{} {} by {}: {}", route.method, route.url, comer.name, answer.text());
            assert_eq!(answer.status, status, "{told}");
            if let Some(code) = code {
                answer.problem(status, code);
                assert_eq!(
                    answer.header("www-authenticate"),
                    if status == 401 { "Bearer" } else { "" },
                    "{told}"
                );
            }
            tasks += usize::from(status == 202);
            records += usize::from(status == 201 && route.path.starts_with("/api/data"));
            if route.method == Method::GET && route.path != "/api/v1/tasks/{id}/events" {
                let head = comer.bring(http.request(Method::HEAD, stack.url(&route.url)));
                assert_eq!(ask(head).await.unwrap().status, status, "HEAD: {told}");
            }
        }
    }

    // A rejected request has left nothing.
    let rows = stack.sql("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM records)");
    assert_eq!(rows.trim(), format!("{tasks}|{records}"));
    let admin = comers.iter().find(|comer| comer.name == "admin").unwrap();
    let description = ask(admin.bring(stack.request(Method::GET, "/openapi.json"))).await.unwrap().json();
    holds_to(&description, &routes);
}

/// The table has every operation of the description, and the description says of each what it asks.
fn holds_to(description: &Value, routes: &[Route]) {
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let route = routes
                .iter()
                .find(|route| route.path == path && route.method.as_str().eq_ignore_ascii_case(method))
                .unwrap_or_else(|| panic!("{method} {path} is not in the table"));
            let asks = match route.is_for {
                Anyone => json!([]),
                _ => json!([{"bearer": []}, {"cookie": []}]),
            };
            assert_eq!(operation["security"], asks, "{method} {path}");
            let tells = |status| !operation["responses"][status].is_null();
            // A log-in refuses wrong passwords so.
            assert!(tells("401") || route.is_for == Anyone, "{method} {path}");
            assert!(
                tells("403") || !matches!(route.is_for, Admins | Changers | LoggedIn | Operators | Viewers),
                "{method} {path}"
            );
            described.insert((method.clone(), path.clone()));
        }
    }
    assert_eq!(described.len(), routes.len(), "a route of the table is not described");
}

#[apply(both_stacks)]
async fn pages_are_anyones_and_the_docs_are_closed_with_their_files(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    let root = stack.admin("root").await;
    for path in ["/", "/messages", "/tables", "/records", "/operate", "/app.js", "/api.js", "/style.css"] {
        assert_eq!(stack.get(path).await.status, 200, "{path}");
    }
    stack.get("/nothing").await.problem(404, "not-found");
    for path in ["/docs", "/docs/", "/docs/swagger-ui.css", "/docs/nothing"] {
        stack.get(path).await.problem(401, "unauthenticated");
    }
    for path in ["/docs", "/docs/", "/docs/swagger-ui.css"] {
        assert_eq!(stack.ask_as(&root, Method::GET, path).await.status, 200, "{path}");
    }
    // Strangers must not learn whether an address takes a method.
    stack.ask(Method::PATCH, "/api/v1/tasks").await.problem(401, "unauthenticated");
    stack.ask_as(&root, Method::PATCH, "/api/v1/tasks").await.problem(405, "method-not-allowed");
}

#[apply(both_stacks)]
async fn docs_and_metrics_are_closed_also_where_nobody_has_to_be_a_user(setup: Setup) {
    let stack = setup.start(&[("DOCS", "closed"), ("METRICS", "closed")]).await;
    stack.register("ada").await;
    let (ada, root) = (stack.log_in("ada").await, stack.admin("root").await);
    for path in ["/docs/", "/openapi.json", "/metrics"] {
        stack.get(path).await.problem(401, "unauthenticated");
        stack.ask_as(&ada, Method::GET, path).await.problem(403, "forbidden");
        assert_eq!(stack.ask_as(&root, Method::GET, path).await.status, 200, "{path}");
    }
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
}

#[apply(both_stacks)]
async fn who_may_not_come_in_is_told_before_he_has_sent_anything(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    use tokio::io::AsyncWriteExt;
    for (line, more) in [
        ("PUT /api/v1/md5/a.iso", ""),
        ("POST /api/v1/md5", "Content-Type: multipart/form-data; boundary=b\r\n"),
        ("POST /api/v1/tables", "Content-Type: multipart/form-data; boundary=b\r\n"),
        ("POST /api/v1/messages", ""),
        ("POST /api/data/bulk", "Content-Type: text/plain\r\n"),
    ] {
        let mut connection = tokio::net::TcpStream::connect(stack.address()).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: 10000000\r\n{more}\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();

        let answer = read_answer(connection).await;

        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("connection"), "close", "{line}");
    }
    assert!(stack.blobs().is_empty());
}

#[apply(both_stacks)]
async fn each_owner_has_his_own_tasks_and_admins_have_all(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob, root) = (stack.log_in("ada").await, stack.log_in("bob").await, stack.admin("root").await);
    let (mut hers, mut his) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        hers.insert(accepted(&stack.put_as(&ada, "abc").await));
        his.insert(accepted(&stack.put_as(&bob, "abc").await));
        his.insert(accepted(&stack.put_as(&bob, "abd").await));
    }
    for (token, ids) in [(&ada, &hers), (&bob, &his)] {
        for id in ids {
            stack.until_ended_as(token, id).await;
        }
    }

    for path in ["/api/v1/tasks?limit=3".to_owned(), format!("/api/v1/md5?digest={}&limit=3", md5sum(b"abc"))]
    {
        let (first, next) = stack.listed_as(&ada, &path).await;
        let (second, last) = stack.listed_as(&ada, &format!("{path}&after={}", next.as_str().unwrap())).await;
        // Pages are as full as they would be without the others' tasks.
        assert_eq!((first.len(), second.len(), last), (3, 2, Value::Null), "{path}");
        assert_eq!(first.into_iter().chain(second).collect::<BTreeSet<_>>(), hers);
    }
    let owner = async |token| stack.me(token).await.json()["id"].as_str().unwrap().to_owned();
    let (ada_id, bob_id) = (owner(&ada).await, owner(&bob).await);
    for (token, owner, ids) in [
        (&ada, &ada_id, &hers),
        (&ada, &bob_id, &BTreeSet::new()),
        (&root, &ada_id, &hers),
        (&root, &bob_id, &his),
    ] {
        // An owner's filters go together, in any number.
        let path = format!("/api/v1/tasks?owner={owner}&filename=a&finished_after=2026-01-02&total=true");
        let (found, _) = stack.listed_as(token, &path).await;
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), *ids, "{path}");
        assert_eq!(stack.ask_as(token, Method::GET, &path).await.json()["total"], ids.len());
    }
    let (all, _) = stack.listed_as(&root, "/api/v1/tasks").await;
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), hers.union(&his).cloned().collect());

    // Another's task is as unknown as one that never was, also while it waits.
    let waiting = accepted(&stack.message_as(&ada, "abc").await);
    for path in ["", "?wait=60", "/events"] {
        let (foreign, unknown) =
            (format!("/api/v1/tasks/{waiting}{path}"), format!("/api/v1/tasks/{NOBODY}{path}"));
        let foreign = stack.ask_as(&bob, Method::GET, &foreign).await.problem(404, "task-not-found");
        let unknown = stack.ask_as(&bob, Method::GET, &unknown).await.problem(404, "task-not-found");
        assert_eq!(foreign, changed(unknown, json!({"request_id": foreign["request_id"]})));
    }
    let path = format!("/api/v1/tasks/{waiting}");
    stack.ask_as(&bob, Method::DELETE, &path).await.problem(404, "task-not-found");
    assert_ne!(stack.ask_as(&ada, Method::GET, &path).await.json()["status"], "cancelled");
    assert_eq!(stack.ask_as(&root, Method::DELETE, &path).await.status, 200);
}

#[apply(both_stacks)]
async fn a_viewer_sees_all_tasks_and_changes_their_own_and_an_operator_changes_all(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    stack.register("ada").await;
    let ada = stack.log_in("ada").await;
    let (viewer, operator) = (stack.with_right("viewer").await, stack.with_right("operator").await);
    let hers = accepted(&stack.message_as(&ada, "abc").await);
    let own = accepted(&stack.message_as(&viewer, "abd").await);
    let path = |id: &str| format!("/api/v1/tasks/{id}");

    for token in [&viewer, &operator] {
        let (ids, _) = stack.listed_as(token, "/api/v1/tasks").await;
        assert_eq!(BTreeSet::from_iter(ids), BTreeSet::from([hers.clone(), own.clone()]));
        assert_eq!(stack.ask_as(token, Method::GET, &path(&hers)).await.status, 200);
        stack.ask_as(token, Method::GET, "/api/v1/users").await.problem(403, "forbidden");
    }
    stack.ask_as(&viewer, Method::DELETE, &path(&hers)).await.problem(403, "forbidden");
    stack.ask_as(&viewer, Method::DELETE, &path(NOBODY)).await.problem(404, "task-not-found");
    assert_ne!(stack.ask_as(&ada, Method::GET, &path(&hers)).await.json()["status"], "cancelled");
    assert_eq!(stack.ask_as(&viewer, Method::DELETE, &path(&own)).await.status, 200);
    assert_eq!(stack.ask_as(&operator, Method::DELETE, &path(&hers)).await.status, 200);
}

/// Returns the standard error of a server that listens there, with these settings.
async fn said_at(listen: &str, settings: &[(&str, &str)]) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let mut command = coatcheck(folder.path(), [""; 0]);
    command.env("LISTEN", listen).envs(settings.iter().copied());
    let mut program = Program::start(command, folder.path());
    program.address(folder.path()).await;
    program.signal(Signal::SIGTERM);
    eventually("the program's end", async || program.exit_status().ok_or("it runs")).await;
    std::fs::read_to_string(stderr_of(folder.path())).unwrap()
}

#[tokio::test]
async fn a_server_that_anyone_may_reach_and_use_says_so_once() {
    let open = said_at("0.0.0.0:0", &[]).await;
    let own = said_at("127.0.0.1:0", &[]).await;
    let asked = said_at("0.0.0.0:0", &[("AUTH", "required")]).await;

    let warnings = |said: &str| {
        let of_access = |line: &&str| line.contains("WARN") && line.contains("AUTH");
        said.lines().filter(of_access).map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = warnings(&open);
    assert!(warned.len() == 1 && warned[0].contains("AUTH=required"), "{open}");
    assert!(warnings(&own).is_empty() && warnings(&asked).is_empty(), "{own}\n{asked}");
}
