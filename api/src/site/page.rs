//! The parts for browsers: the pages for files, messages, tables, the access log and operators, and Swagger UI. All of it is compiled in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use program::swagger_ui;
use sha2::{Digest, Sha256};

use crate::http::hex;
use crate::http::problem::{Code, Problem};

/// The path of the API's description.
pub const DESCRIPTION: &str = "/openapi.json";

/// The policy of every response, relaxed for Swagger UI: it sets styles in its elements, and its page sets a base.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'";

/// Compiles files of `frontend/` in.
macro_rules! files {
    ($($name:literal)+) => {
        &[$(($name, include_bytes!(concat!("../../../frontend/", $name)))),+]
    };
}

/// The files that browsers get, by their names in `frontend/`.
const COMPILED_IN: &[(&str, &[u8])] = files!(
    "api.js"
    "app.js"
    "card.js"
    "digests.js"
    "dom.js"
    "found.js"
    "gate.js"
    "header.js"
    "history.js"
    "index.html"
    "list.js"
    "log-in.js"
    "messages.css"
    "messages.html"
    "messages.js"
    "news.js"
    "numbers.js"
    "operate.css"
    "operate.html"
    "operate.js"
    "operate/audit.js"
    "operate/bulk.js"
    "operate/calls.js"
    "operate/charts.js"
    "operate/chosen.js"
    "operate/codes.js"
    "operate/failures.js"
    "operate/filters.js"
    "operate/keys.js"
    "operate/live.js"
    "operate/now.js"
    "operate/page.js"
    "operate/task.js"
    "operate/tasks.js"
    "operate/times.js"
    "operate/users.js"
    "operate/workers.js"
    "overall.js"
    "records.css"
    "records.html"
    "records.js"
    "rows.js"
    "sent.js"
    "session.js"
    "standing.js"
    "style.css"
    "table.js"
    "tables.css"
    "tables.html"
    "tables.js"
    "text.js"
    "ticket.js"
    "tickets.js"
    "undo.js"
    "upload.js"
    "vendor/uPlot.iife.min.js"
    "vendor/uPlot.min.css"
);

/// A file as it is served.
struct File {
    content: &'static [u8],
    media_type: &'static str,
    tag: EntityTag,
}

/// The files by their addresses: a page is at its name, without `.html`.
static FILES: LazyLock<BTreeMap<String, File>> = LazyLock::new(|| {
    let files = COMPILED_IN.iter().map(|(name, content)| {
        let (address, media_type) = match name.rsplit_once('.') {
            Some(("index", "html")) => ("/".to_owned(), "text/html; charset=utf-8"),
            Some((page, "html")) => (format!("/{page}"), "text/html; charset=utf-8"),
            Some((_, "css")) => (format!("/{name}"), "text/css; charset=utf-8"),
            _ => (format!("/{name}"), "text/javascript; charset=utf-8"),
        };
        (address, File { content, media_type, tag: EntityTag::new_strong(hex(&Sha256::digest(content))) })
    });
    files.collect()
});

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
    let file = FILES.get(request.path()).ok_or(Code::NotFound)?;
    let (mut response, is_known) = tagged(&request, &file.tag);
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(file.media_type).body(file.content))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn each_page_and_each_of_its_files_is_compiled_in() {
        let frontend = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend");
        let names = |folder: &str| -> Vec<String> {
            let files = fs::read_dir(frontend.join(folder)).unwrap();
            files.map(|file| format!("{folder}{}", file.unwrap().file_name().display())).collect()
        };
        let mut served = [names(""), names("operate/"), names("vendor/")].concat();
        // The page for an address without content has none of its own, and the licence is not for browsers.
        served.retain(|name| {
            name != "missing.html" && [".css", ".html", ".js"].iter().any(|end| name.ends_with(end))
        });
        served.sort();

        assert_eq!(served, COMPILED_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
