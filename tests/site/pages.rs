//! The pages and Swagger UI as a browser gets them: whole, and from this one server.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Url};
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::client::ask;
use crate::kit::people::as_bearer;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

#[apply(both_stacks)]
async fn the_pages_load_with_their_assets_from_here_alone(setup: Setup) {
    let stack = setup.start(&[]).await;
    let records =
        ["/records.css", "/records.js", "/style.css", "/vendor/uPlot.iife.min.js", "/vendor/uPlot.min.css"];
    let operate =
        ["/operate.css", "/operate.js", "/style.css", "/vendor/uPlot.iife.min.js", "/vendor/uPlot.min.css"];
    let messages = ["/messages.css", "/messages.js", "/style.css"];
    let tables = ["/style.css", "/tables.css", "/tables.js"];
    for (path, assets) in [
        ("/", &["/app.js", "/style.css"][..]),
        ("/messages", &messages),
        ("/tables", &tables),
        ("/records", &records),
        ("/operate", &operate),
    ] {
        let page = stack.get(path).await;

        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert_loads_nothing_from_elsewhere(page.header("content-security-policy"));
        assert!(!page.header("content-security-policy").contains("unsafe"), "{path}");
        assert!(assets_of(&stack, path).await.iter().eq(assets), "{path}");
    }
}

#[apply(both_stacks)]
async fn the_docs_load_with_their_assets_from_here_alone(setup: Setup) {
    let stack = setup.start(&[]).await;
    for path in ["/docs", "/docs/"] {
        let page = stack.get(path).await;

        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert_loads_nothing_from_elsewhere(page.header("content-security-policy"));
        let assets = assets_of(&stack, path).await;
        assert!(assets.len() >= 4, "Swagger UI is more than {assets:?}");
        assert!(assets.iter().all(|asset| asset.starts_with("/docs/")), "{assets:?}");
    }
}

#[apply(both_stacks)]
async fn the_docs_describe_this_server(setup: Setup) {
    let stack = setup.start(&[]).await;
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
        ("/api/v1/outcomes", &["get"]),
        ("/api/v1/outcomes/events", &["get"]),
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
}

#[apply(embedded)]
async fn the_docs_are_ours_are_kept_and_come_compressed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let page = stack.get("/docs").await;
    assert!(page.text().contains("<title>API · Coatcheck</title>"), "{}", page.text());
    assert!(page.text().contains("<a href=\"/\">"), "there is a way back");

    for path in
        ["/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/swagger-initializer.js"]
    {
        let plain = stack.get(path).await;
        let tag = plain.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");

        let gzip = ask(stack.request(Method::GET, path).header("Accept-Encoding", "gzip")).await.unwrap();
        assert_eq!((gzip.status, gzip.header("content-encoding")), (200, "gzip"), "{path}");
        assert_eq!(gzip.header("etag"), tag, "{path}");
        let mut body = Vec::new();
        GzDecoder::new(&gzip.body[..]).read_to_end(&mut body).unwrap();
        assert_eq!(body, plain.body, "{path}");

        let again = ask(stack.request(Method::GET, path).header("If-None-Match", &tag)).await.unwrap();
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
}

#[apply(embedded)]
async fn a_padlock_is_only_where_a_log_in_is_needed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let description = stack.get("/openapi.json").await.json();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let asks = operation["security"].as_array().unwrap();
            // With the empty choice among others, Swagger UI would show a padlock.
            assert!(!asks.contains(&json!({})), "{method} {path}");
            let is_open = ["/api/v1/md5", "/api/v1/tables", "/api/v1/tasks", "/api/data"];
            let is_open = is_open.iter().any(|open| path.starts_with(open));
            assert!(!is_open || asks.is_empty(), "{method} {path}");
        }
    }
}

#[apply(embedded)]
async fn each_example_is_taken_as_it_is(setup: Setup) {
    let stack =
        setup.start(&[("FREE_URL", "http://127.0.0.1:9"), ("THIRD_PARTY_URL", "http://127.0.0.1:9")]).await;
    stack.admin("root").await;
    let description = stack.get("/openapi.json").await.json();
    let mut examples = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            examples.extend(requests(&description, path, method, operation));
        }
    }
    // Registration comes before log-in and adding before finding; the request that ends the client's own sessions comes last.
    examples.sort_by_key(|Example { name, method, .. }| {
        (name == "changePassword", name == "endSessions", name == "logIn", method != Method::POST)
    });
    assert!(examples.len() > 25, "where are the examples?");

    for Example { name, method, url, body } in examples {
        let token = stack.log_in("root").await;
        let request = as_bearer(stack.request(method, &url), &token);
        let request = match body {
            Sent::Nothing => request,
            Sent::Text(media_type, text) => request.header("Content-Type", media_type).body(text),
            Sent::Form(form) => request.multipart(form),
        };
        // Its answer has no end.
        if name == "followOutcomes" {
            assert_eq!(request.send().await.unwrap().status(), 200);
            continue;
        }
        let answer = ask(request).await.unwrap();
        assert!((200..300).contains(&answer.status), "{name}, {url}: {} {}", answer.status, answer.text());
        let finds = match &*name {
            "readRecords" => answer.json()[0].is_object(),
            "countRecords" => answer.json()["requests"] != 0,
            _ => true,
        };
        assert!(finds, "{name}, {url}: {}", answer.text());
    }
}

/// A request as Swagger UI would send it.
struct Example {
    name: String,
    method: Method,
    url: String,
    body: Sent,
}

enum Sent {
    Nothing,
    Text(String, String),
    Form(Form),
}

/// An operation's requests, one for each media type that it takes; none where something is to be filled in first.
fn requests(description: &Value, path: &str, method: &str, operation: &Value) -> Vec<Example> {
    let name = operation["operationId"].as_str().unwrap();
    // A stream has no end, and the addresses at `/file` lead elsewhere.
    if ["followTask", "getFile", "postFile"].contains(&name) {
        return Vec::new();
    }
    let (mut url, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let named = parameter["name"].as_str().unwrap();
        let example =
            [&parameter["example"], &parameter["schema"]["example"], &parameter["schema"]["default"]];
        let example = example.into_iter().find(|example| !example.is_null()).map(|example| match example {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        match (example, parameter["in"].as_str().unwrap()) {
            (Some(value), "path") => url = url.replace(&format!("{{{named}}}"), &value),
            (Some(value), "query") => query.push((named.to_owned(), value)),
            (Some(_), place) => panic!("{name}: a {place} of its own would come with each request"),
            (None, _) if parameter["required"] == true => return Vec::new(),
            (None, _) => {}
        }
    }
    if !query.is_empty() {
        url = Url::parse_with_params(&format!("http://a{url}"), query).unwrap().as_str()["http://a".len()..]
            .to_owned();
    }
    let request = |body| Example {
        name: name.to_owned(),
        method: method.to_uppercase().parse().unwrap(),
        url: url.clone(),
        body,
    };
    let Some(content) = operation["requestBody"]["content"].as_object() else {
        return vec![request(Sent::Nothing)];
    };
    content
        .iter()
        .map(|(media_type, content)| request(sent(description, name, media_type, content)))
        .collect()
}

fn sent(description: &Value, name: &str, media_type: &str, content: &Value) -> Sent {
    let schema = resolved(description, &content["schema"]);
    let fields = schema["properties"].as_object().into_iter().flatten();
    if media_type == "multipart/form-data" {
        return Sent::Form(fields.fold(
            Form::new(),
            |form, (field, schema)| match schema["example"].as_str() {
                // A person chooses the file, which for a table is one.
                None => {
                    form.part(
                        field.clone(),
                        Part::bytes(&b"userId,title,body\n1,a,b\n"[..]).file_name("a.csv"),
                    )
                }
                Some(text) => form.text(field.clone(), text.to_owned()),
            },
        ));
    }
    let whole = [&content["example"], &schema["example"]].into_iter().find(|example| !example.is_null());
    let text = match whole {
        Some(Value::String(text)) => text.clone(),
        Some(example) => example.to_string(),
        None if media_type == "application/octet-stream" => "abc".to_owned(),
        None => {
            let examples = fields.map(|(field, schema)| {
                let example =
                    [&schema["example"], &resolved(description, schema)["example"], &schema["default"]];
                let example = example.into_iter().find(|example| !example.is_null());
                (field.clone(), example.unwrap_or_else(|| panic!("{name}: `{field}` has no example")).clone())
            });
            Value::Object(examples.collect()).to_string()
        }
    };
    Sent::Text(media_type.to_owned(), text)
}

fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => description.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

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
