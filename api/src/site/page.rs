//! What is looked at in a browser: the pages for files, messages, tables and the access log, and Swagger UI. All of it is in the program.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};
use utoipa_swagger_ui::Config;

use crate::http::problem::{Code, Problem};

/// Where the API's description is found.
pub const DESCRIPTION: &str = "/openapi.json";

/// As for every response, but Swagger UI sets styles in its elements, and its page a base.
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

/// What a browser gets where there is nothing; `{{status}}` and `{{text}}` stand for what it tells.
pub const MISSING: &str = include_str!("../../../frontend/missing.html");

/// A file of the pages.
///
/// # Errors
/// 404, if the program was built without it.
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

/// Begins the answer with what has this tag, and tells whether the browser has it already. It keeps it, and asks each time whether it
/// still stands.
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

/// How Swagger UI is set up: nothing is asked of anyone else's server.
pub fn docs_config() -> Config<'static> {
    Config::from(DESCRIPTION).try_it_out_enabled(true).display_request_duration(true).validator_url("none")
}

/// Swagger UI.
///
/// # Errors
/// None, unless the program was built without it.
pub async fn docs_index(
    request: HttpRequest,
    config: Data<Config<'static>>,
) -> Result<HttpResponse, Problem> {
    docs(request, Path::from(String::new()), config).await
}

/// A file of Swagger UI; without a name, the one that shows the others.
///
/// # Errors
/// 404 if it has no such file.
pub async fn docs(
    request: HttpRequest,
    name: Path<String>,
    config: Data<Config<'static>>,
) -> Result<HttpResponse, Problem> {
    let file = utoipa_swagger_ui::serve(&name, config.into_inner())
        .map_err(|error| Problem::internal(&*error))?
        .ok_or(Code::NotFound)?;
    let body = if name.is_empty() { as_ours(&file.bytes).into_bytes() } else { file.bytes.into_owned() };
    // Weak, for it is the same compressed.
    let tag = EntityTag::new_weak(hex(&Sha256::digest(&body)));
    let (mut response, is_known) = tagged(&request, &tag);
    response.insert_header((CONTENT_SECURITY_POLICY, DOCS_POLICY));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(with_charset(&file.content_type)).body(body))
}

/// Swagger UI's page with our title and a way back to the pages. It names its files relative to `/docs/`; the base lets it stand at `/docs`
/// too.
fn as_ours(page: &[u8]) -> String {
    String::from_utf8_lossy(page)
        .replacen("<head>", "<head>\n    <base href=\"/docs/\">", 1)
        .replacen("<title>Swagger UI</title>", "<title>API · Coatcheck</title>", 1)
        .replacen("<body>", concat!("<body>\n    ", include_str!("docs_nav.html")), 1)
}

fn with_charset(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}
