//! Tokens and API keys in the header `Authorization`.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

/// Returns the tokens and keys that a request brings as `Authorization: Bearer` (RFC 6750, 2.1).
pub fn tokens(request: &HttpRequest) -> impl Iterator<Item = String> {
    request.headers().get_all(AUTHORIZATION).filter_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    })
}

/// Returns whether a request brings a token or key in a header. No browser adds one by itself, and pages of another site can't.
pub fn is_there(request: &HttpRequest) -> bool {
    tokens(request).next().is_some()
}
