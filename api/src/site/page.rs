//! The parts for browsers: the pages for files, messages, tables and the access log, and Swagger UI. All of it is compiled in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use program::swagger_ui;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use crate::http::problem::{Code, Problem};

/// The path of the API's description.
pub const DESCRIPTION: &str = "/openapi.json";

/// The policy of every response, relaxed for Swagger UI: it sets styles in its elements, and its page sets a base.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'";

#[derive(RustEmbed)]
#[folder = "../frontend"]
struct Files;

/// The addresses of the files that browsers get, and the file behind each: a page is at its name, without `.html`.
static FILES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let given = Files::iter().filter_map(|file| Some((address(&file)?, file.into_owned())));
    given.collect()
});

/// Returns the address of a file; `None` for a file that is not served, such as the licence of vendored code.
fn address(file: &str) -> Option<String> {
    match file.rsplit_once('.')? {
        ("index", "html") => Some("/".to_owned()),
        ("missing", "html") => None,
        (name, "html") => Some(format!("/{name}")),
        (_, "css" | "js") => Some(format!("/{file}")),
        _ => None,
    }
}

/// Returns the addresses of the pages and their files.
pub fn addresses() -> impl Iterator<Item = &'static str> {
    FILES.keys().map(String::as_str)
}

/// Returns whether that is the address of a page or one of its files.
pub fn is_file(path: &str) -> bool {
    FILES.contains_key(path)
}

/// The page for an address without content; `{{status}}` and `{{text}}` are replaced.
pub const MISSING: &str = include_str!("../../../frontend/missing.html");

/// Answers with a file of the pages.
///
/// # Errors
/// 404 if the program was built without it.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = FILES.get(request.path());
    let file: EmbeddedFile = name.and_then(|name| Files::get(name)).ok_or(Code::NotFound)?;
    let tag = EntityTag::new_strong(hex(&file.metadata.sha256_hash()));
    let (mut response, is_known) = tagged(&request, &tag);
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(with_charset(file.metadata.mimetype())).body(file.data))
}

/// Begins the answer for content with this tag, and returns whether the browser has it already. A browser caches the content, and asks each
/// time whether it is still current.
fn tagged(request: &HttpRequest, tag: &EntityTag) -> (HttpResponseBuilder, bool) {
    let is_known = IfNoneMatch::parse(request).is_ok_and(|known| match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|known| known.weak_eq(tag)),
    });
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((CACHE_CONTROL, "no-cache")).insert_header((ETAG, tag.to_string()));
    (response, is_known)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers with the page of Swagger UI.
pub async fn docs_index(request: HttpRequest) -> HttpResponse {
    docs_file(&request, swagger_ui::page("API · Coatcheck", include_str!("docs_nav.html")))
}

/// Answers with a file of Swagger UI; without a name, with its page.
///
/// # Errors
/// 404 if the file does not exist.
pub async fn docs(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, Problem> {
    if name.is_empty() {
        return Ok(docs_index(request).await);
    }
    Ok(docs_file(&request, swagger_ui::file(&name).ok_or(Code::NotFound)?))
}

fn docs_file(request: &HttpRequest, file: swagger_ui::File) -> HttpResponse {
    // Weak, because the compressed content has the same tag.
    let tag = EntityTag::new_weak(hex(&Sha256::digest(&file.content)));
    let (mut response, is_known) = tagged(request, &tag);
    response.insert_header((CONTENT_SECURITY_POLICY, DOCS_POLICY));
    if is_known {
        return response.finish();
    }
    response.content_type(file.media_type).body(file.content.into_owned())
}

fn with_charset(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}
