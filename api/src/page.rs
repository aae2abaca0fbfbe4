//! What is looked at in a browser: the upload page, and Swagger UI. All of it is in the program.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch, LOCATION,
};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::{EmbeddedFile, RustEmbed};
use utoipa_swagger_ui::Config;

use crate::openapi;
use crate::problem::{Code, Problem};

/// The page's addresses, and the file behind each.
pub const FILES: [(&str, &str); 3] =
    [("/", "index.html"), ("/app.js", "app.js"), ("/style.css", "style.css")];

/// As for every response, but Swagger UI sets styles in its elements.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(RustEmbed)]
#[folder = "../frontend"]
struct Files;

/// A file of the page.
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
    Config::from(openapi::PATH).try_it_out_enabled(true).display_request_duration(true).validator_url("none")
}

/// Leads to Swagger UI, whose files are named relative to a folder.
pub async fn docs_folder() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

/// A file of Swagger UI.
///
/// # Errors
/// 404 if it has no such file.
pub async fn docs(file: Path<String>, config: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    let file = utoipa_swagger_ui::serve(&file, config.into_inner())
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
    Ok(response.body(file.bytes.into_owned()))
}

fn with_charset(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}
