//! Answers to requests for an address that isn't there, by a method that it doesn't take, or for a page that is refused: a problem for
//! programs, a page for browsers. Both name the address that may have been meant.

use actix_web::http::header::{self, Accept, Header, VARY};
use actix_web::http::{Method, StatusCode};
use actix_web::mime::{self, Mime};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use crate::http::addresses::Addresses;
use crate::http::problem::{Code, Problem};
use crate::site::page;

/// Answers a request for an address that isn't there.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let meant = request.app_data::<Data<Addresses>>().and_then(|known| known.meant(request.path()));
    let problem = match &meant {
        Some(meant) => Code::NotFound.because(format!("Did you mean {meant}?")),
        None => Code::NotFound.into(),
    };
    answer(&request, &problem, meant)
}

/// Answers a request by a method that its address doesn't take; `path` is that address as it is described, `allow` the methods
/// that it takes.
pub fn method_not_allowed(request: &HttpRequest, path: &str, allow: &str) -> HttpResponse {
    let known = request.app_data::<Data<Addresses>>();
    let taking = known.and_then(|known| known.taking(request.method(), path));
    let problem = Problem::method_not_allowed(allow);
    let posting = known.filter(|_| request.method() == Method::PUT);
    let posting = posting.and_then(|known| known.taking(&Method::POST, path));
    let problem = match (taking, posting) {
        (Some(taking), _) => problem.adding(&format!("{} goes to {taking}.", request.method())),
        (None, Some(posting)) => problem.adding(&format!("POST goes to {posting}.")),
        (None, None) => problem,
    };
    answer(request, &problem, None)
}

/// Answers a request for a page that is refused.
pub fn page_refused(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    answer(request, problem, None)
}

fn answer(request: &HttpRequest, problem: &Problem, meant: Option<String>) -> HttpResponse {
    let mut response = problem.error_response();
    if prefers_html(request) {
        let page = page(problem, request.method(), meant.as_deref());
        let (name, value) =
            (header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
        response.headers_mut().insert(name, value);
        response = response.set_body(page).map_into_boxed_body();
    }
    response.headers_mut().append(VARY, header::HeaderValue::from_static("accept"));
    response
}

/// Returns whether the client prefers a page, as browsers say in `Accept`.
fn prefers_html(request: &HttpRequest) -> bool {
    let is_page = |kind: &Mime| *kind == mime::TEXT_HTML || kind.essence_str() == "application/xhtml+xml";
    Accept::parse(request).is_ok_and(|accept| accept.ranked().first().is_some_and(is_page))
}

/// Returns the page for people. It repeats nothing of the request except a known address.
fn page(problem: &Problem, method: &Method, meant: Option<&str>) -> String {
    let status = problem.status_code();
    let text = match (status, meant) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => {
            format!("This address doesn’t take <code>{}</code>.", escaped(method.as_str()))
        }
        (_, Some(meant)) => {
            let meant = escaped(meant);
            format!(
                "There is nothing at this address. Did you mean <a href=\"{meant}\"><code>{meant}</code></a>?"
            )
        }
        (_, None) => escaped(&problem.words()),
    };
    page::MISSING.replace("{{status}}", status.as_str()).replace("{{text}}", &text)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_is_for_who_prefers_one() {
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, prefers) in [
            (chromium, true),
            ("application/xhtml+xml", true),
            ("*/*", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0.1, application/problem+json", false),
            ("", false),
            (";;", false),
        ] {
            let request = TestRequest::default().append_header(("accept", accept)).to_http_request();
            assert_eq!(prefers_html(&request), prefers, "{accept}");
        }
        assert!(!prefers_html(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn what_was_asked_is_no_markup_in_the_page() {
        let page = page(&Code::NotFound.into(), &Method::GET, Some("/api/v1/tasks/\"><script>'&"));

        assert!(page.contains("/api/v1/tasks/&quot;&gt;&lt;script&gt;&#39;&amp;"));
        assert!(!page.contains("{{") && !page.contains("<script>'"));
    }
}
