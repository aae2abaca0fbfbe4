//! What a browser shows: the pages and Swagger UI, whole and from this one server.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Url;

use crate::stack::Stack;

on_both_stacks!(the_pages_load_with_their_assets_from_here_alone, |stack| async move {
    let records =
        ["/records.css", "/records.js", "/style.css", "/vendor/uPlot.iife.min.js", "/vendor/uPlot.min.css"];
    let messages = ["/messages.css", "/messages.js", "/style.css"];
    let tables = ["/style.css", "/tables.css", "/tables.js"];
    for (path, assets) in [
        ("/", &["/app.js", "/style.css"][..]),
        ("/messages", &messages),
        ("/tables", &tables),
        ("/records", &records),
    ] {
        let page = stack.get(path).await;

        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert_loads_nothing_from_elsewhere(page.header("content-security-policy"));
        assert!(!page.header("content-security-policy").contains("unsafe"), "{path}");
        assert!(assets_of(&stack, path).await.iter().eq(assets), "{path}");
    }
});

on_both_stacks!(the_docs_load_with_their_assets_from_here_alone, |stack| async move {
    for path in ["/docs", "/docs/"] {
        let page = stack.get(path).await;

        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert_loads_nothing_from_elsewhere(page.header("content-security-policy"));
        let assets = assets_of(&stack, path).await;
        assert!(assets.len() >= 4, "Swagger UI is more than {assets:?}");
        assert!(assets.iter().all(|asset| asset.starts_with("/docs/")), "{assets:?}");
    }
});

on_both_stacks!(the_docs_describe_this_server, |stack| async move {
    let setup = stack.get("/docs/swagger-initializer.js").await;

    assert_eq!(setup.status, 200);
    assert!(setup.text().contains("\"/openapi.json\""), "{}", setup.text());
    let description = stack.get("/openapi.json").await;
    assert_eq!((description.status, description.header("content-type")), (200, "application/json"));
    let description = description.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3."));
    for (path, methods) in [
        ("/api/v1/md5", &["get", "post"][..]),
        ("/api/v1/md5/{id}", &["get", "put"]),
        ("/api/v1/tasks", &["get"]),
        ("/api/v1/tasks/{id}", &["get", "delete"]),
        ("/api/v1/tasks/{id}/events", &["get"]),
        ("/api/v1/users", &["post"]),
        ("/api/v1/users/me", &["get"]),
        ("/api/v1/users/{id}/rights/{right}", &["put", "delete"]),
        ("/api/v1/keys", &["get", "post"]),
        ("/api/v1/keys/{id}", &["delete"]),
        ("/api/v1/session", &["post", "delete"]),
        ("/api/data", &["get", "post"]),
        ("/api/data/bulk", &["post"]),
        ("/api/data/stats", &["get"]),
        ("/healthz", &["get"]),
        ("/readyz", &["get"]),
    ] {
        for method in methods {
            let call = &description["paths"][path][method];
            assert!(
                call["responses"].as_object().is_some_and(|responses| !responses.is_empty()),
                "{method} {path}"
            );
            assert!(call["summary"].is_string(), "{method} {path}");
        }
    }
});

/// The paths of what a page names by `src` and `href` to be loaded with it. Each is there, and on this server.
async fn assets_of(stack: &Arc<Stack>, path: &str) -> BTreeSet<String> {
    let page = stack.get(path).await;
    let html = page.text();
    let address = Url::parse(&stack.url(path)).unwrap();
    let base =
        attributes(html, "<base", "href").next().map_or(address.clone(), |base| address.join(base).unwrap());
    let sources = attributes(html, "<script", "src").chain(attributes(html, "<img", "src"));
    let links = attributes(html, "<link", "href").filter(|link| !link.starts_with("data:"));
    let mut assets = BTreeSet::new();
    for source in sources.chain(links) {
        let url = base.join(source).unwrap();
        assert_eq!(url.origin(), address.origin(), "{source}");
        let asset = stack.get(url.path()).await;
        assert_eq!(asset.status, 200, "{source}");
        assert!(!asset.body.is_empty() && !asset.header("content-type").is_empty(), "{source}");
        assets.insert(url.path().to_owned());
    }
    assets
}

/// The values of an attribute in all tags of that name.
fn attributes<'a>(html: &'a str, tag: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    html.split(tag).skip(1).filter_map(move |rest| {
        let (tag, _) = rest.split_once('>')?;
        let (_, value) = tag.split_once(&format!(" {name}=\""))?;
        value.split('"').next()
    })
}

/// A browser that obeys this policy asks no other server, whatever the scripts have in mind.
fn assert_loads_nothing_from_elsewhere(policy: &str) {
    let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
    assert!(directives.contains(&"default-src 'none'"), "{policy}");
    let own = ["'self'", "'none'", "'unsafe-inline'", "data:"];
    for directive in directives {
        assert!(directive.split(' ').skip(1).all(|source| own.contains(&source)), "{policy}");
    }
}
