//! The headers of every answer for browsers: scripts, frames, caching.

use reqwest::Method;
use rstest_reuse::apply;

use crate::kit::client::{Answer, ask};
use crate::kit::stack::{Setup, both_stacks, embedded};

/// Scripts and styles are this server's files, and nothing in a page is one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Swagger UI sets styles in its elements, and its page has a base.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'";

#[apply(both_stacks)]
async fn each_answer_is_dressed_for_a_browser(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let (task, events) = (format!("/api/v1/tasks/{id}"), format!("/api/v1/tasks/{id}/events"));
    stack.until(&id, "succeeded").await;
    let (asked, kept) = ("no-cache", "no-store");
    for (method, path, status, policy, cache) in [
        (Method::GET, "/", 200, POLICY, asked),
        (Method::HEAD, "/", 200, POLICY, asked),
        (Method::GET, "/tables", 200, POLICY, asked),
        (Method::GET, "/app.js", 200, POLICY, asked),
        (Method::GET, "/style.css", 200, POLICY, asked),
        (Method::GET, "/docs", 200, DOCS_POLICY, asked),
        (Method::GET, "/docs/", 200, DOCS_POLICY, asked),
        (Method::GET, "/docs/nothing", 404, POLICY, kept),
        (Method::GET, "/openapi.json", 200, POLICY, asked),
        (Method::GET, "/healthz", 200, POLICY, kept),
        (Method::GET, "/readyz", 200, POLICY, kept),
        (Method::GET, "/metrics", 200, POLICY, kept),
        (Method::GET, &task, 200, POLICY, kept),
        (Method::GET, &events, 200, POLICY, kept),
        (Method::DELETE, &task, 409, POLICY, kept),
        (Method::GET, "/api/v1/tasks", 200, POLICY, kept),
        (Method::GET, "/api/data", 200, POLICY, kept),
        (Method::POST, "/api/data", 418, POLICY, kept),
        (Method::POST, "/api/v1/md5", 415, POLICY, kept),
        (Method::POST, "/api/v1/messages", 401, POLICY, kept),
        (Method::GET, "/api/v1/file", 303, POLICY, kept),
        (Method::PATCH, "/api/v1/tasks", 405, POLICY, kept),
        (Method::GET, "/nothing", 404, POLICY, kept),
    ] {
        println!("{method} {path}");
        let client = crate::kit::client::http();
        let answer = ask(client.build().unwrap().request(method, stack.url(path))).await.unwrap();

        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-security-policy"), policy);
        assert_eq!(answer.header("cache-control"), cache);
        is_dressed(&answer);
        assert_eq!(answer.header("strict-transport-security"), "");
    }
}

#[apply(embedded)]
async fn who_came_by_tls_comes_by_tls_again(setup: Setup) {
    let stack = setup.start(&[("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    for path in ["/", "/nothing"] {
        let request = stack.request(Method::GET, path).header("x-forwarded-proto", "https");

        let answer = ask(request).await.unwrap();

        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
}

fn is_dressed(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert!(answer.header("permissions-policy").contains("camera=()"));
    assert_eq!(answer.header("x-request-id").len(), 36);
    // Neither what serves, nor whom else it serves.
    for absent in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert_eq!(answer.header(absent), "", "{absent}");
    }
}
