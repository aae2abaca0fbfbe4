//! What is looked at in a browser: the pages for files, messages, tables and the access log, and Swagger UI. All of it is in the program.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch,
};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::{EmbeddedFile, RustEmbed};
use utoipa_swagger_ui::Config;

use crate::http::problem::{Code, Problem};

/// Where the API's description is found.
pub const DESCRIPTION: &str = "/openapi.json";

/// The pages' addresses, and the file behind each.
pub const FILES: [(&str, &str); 31] = [
    ("/", "index.html"),
    ("/style.css", "style.css"),
    ("/app.js", "app.js"),
    ("/api.js", "api.js"),
    ("/digests.js", "digests.js"),
    ("/dom.js", "dom.js"),
    ("/gate.js", "gate.js"),
    ("/history.js", "history.js"),
    ("/list.js", "list.js"),
    ("/log-in.js", "log-in.js"),
    ("/news.js", "news.js"),
    ("/ticket.js", "ticket.js"),
    ("/tickets.js", "tickets.js"),
    ("/upload.js", "upload.js"),
    ("/messages", "messages.html"),
    ("/messages.css", "messages.css"),
    ("/messages.js", "messages.js"),
    ("/sent.js", "sent.js"),
    ("/session.js", "session.js"),
    ("/standing.js", "standing.js"),
    ("/tables", "tables.html"),
    ("/tables.css", "tables.css"),
    ("/tables.js", "tables.js"),
    ("/table.js", "table.js"),
    ("/rows.js", "rows.js"),
    ("/records", "records.html"),
    ("/records.css", "records.css"),
    ("/records.js", "records.js"),
    ("/numbers.js", "numbers.js"),
    ("/vendor/uPlot.iife.min.js", "vendor/uPlot.iife.min.js"),
    ("/vendor/uPlot.min.css", "vendor/uPlot.min.css"),
];

/// As for every response, but Swagger UI sets styles in its elements, and its page a base.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'";

#[derive(RustEmbed)]
#[folder = "../frontend"]
struct Files;

/// What a browser gets where there is nothing; `{{status}}` and `{{text}}` stand for what it tells.
pub const MISSING: &str = include_str!("../../../frontend/missing.html");

/// A file of the pages.
///
/// # Errors
/// 404, if the program was built without it.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = FILES.into_iter().find(|(path, _)| *path == request.path()).map(|(_, name)| name);
    let file: EmbeddedFile = name.and_then(Files::get).ok_or(Code::NotFound)?;
    let tag =
        EntityTag::new_strong(file.metadata.sha256_hash().iter().map(|byte| format!("{byte:02x}")).collect());
    let is_known = IfNoneMatch::parse(&request).is_ok_and(|known| match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|known| known.weak_eq(&tag)),
    });

    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    // The browser keeps it, and asks each time whether it still stands.
    response.insert_header((CACHE_CONTROL, "no-cache")).insert_header((ETAG, tag.to_string()));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(with_charset(file.metadata.mimetype())).body(file.data))
}

/// How Swagger UI is set up: nothing is asked of anyone else's server.
pub fn docs_config() -> Config<'static> {
    Config::from(DESCRIPTION).try_it_out_enabled(true).display_request_duration(true).validator_url("none")
}

/// Swagger UI.
///
/// # Errors
/// None, unless the program was built without it.
pub async fn docs_index(config: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    docs(Path::from(String::new()), config).await
}

/// A file of Swagger UI; without a name, the one that shows the others.
///
/// # Errors
/// 404 if it has no such file.
pub async fn docs(name: Path<String>, config: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    let file = utoipa_swagger_ui::serve(&name, config.into_inner())
        .map_err(|error| Problem::internal(&*error))?
        .ok_or(Code::NotFound)?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_SECURITY_POLICY, DOCS_POLICY))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type(with_charset(&file.content_type));
    if file.gzpipped {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    if name.is_empty() {
        return Ok(response.body(with_base(&file.bytes)));
    }
    Ok(response.body(file.bytes.into_owned()))
}

/// The page names its files relative to `/docs/`; this lets it stand at `/docs` too.
fn with_base(page: &[u8]) -> String {
    String::from_utf8_lossy(page).replacen("<head>", "<head>\n    <base href=\"/docs/\">", 1)
}

fn with_charset(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}
