//! Swagger UI, for a server with its page at `/docs/` and its description at `/openapi.json`. It loads nothing from other servers.

use std::borrow::Cow;

/// A file of Swagger UI.
pub struct File {
    /// With the charset of text.
    pub media_type: &'static str,
    /// The file itself.
    pub content: Cow<'static, [u8]>,
}

/// Returns the page with that title, and that HTML above it.
pub fn page(title: &str, header: &str) -> File {
    let page =
        include_str!("swagger_ui/index.html").replace("{{title}}", title).replace("{{header}}", header);
    File { media_type: "text/html; charset=utf-8", content: page.into_bytes().into() }
}

/// Returns the file with that name beside the page, if there is one.
pub fn file(name: &str) -> Option<File> {
    let content = match name {
        "swagger-initializer.js" => include_bytes!("swagger_ui/swagger-initializer.js"),
        _ => {
            let files = swagger_ui_redist::SwaggerUi::static_files();
            files.iter().find(|(file, _)| file.file_name() == name)?.1
        }
    };
    let media_type = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    Some(File { media_type, content: content.into() })
}
