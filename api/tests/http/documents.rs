//! The documents and pages of the API, and whether they are true.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::desk::{Desk, is_problem, json};

async fn description(desk: &Desk) -> Value {
    json(desk.get("/openapi.json").send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_that_is_described_takes_the_methods_described_and_names_them_for_others() {
    let desk = Desk::open();

    for (path, operations) in description(&desk).await["paths"].as_object().unwrap() {
        let url = desk.url(&path.replace("{id}", "0198c0de-0000-7000-8000-000000000000"));
        let mut described: BTreeSet<String> =
            operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        let response = desk.client.request(Method::PATCH, &url).send().await.unwrap();
        let allow = response.headers()["allow"].to_str().unwrap().to_owned();
        is_problem(response, 405, "method-not-allowed", path).await;
        assert_eq!(allow.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(), described, "{path}");
    }
    is_problem(desk.get("/nowhere").send().await.unwrap(), 404, "not-found", "nowhere").await;
    is_problem(desk.get("/docs/nowhere").send().await.unwrap(), 404, "not-found", "nowhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_has_a_file_to_choose_and_an_example_for_each_refusal() {
    let desk = Desk::open();
    let description = description(&desk).await;

    let schemas = &description["components"]["schemas"];
    for file in [&schemas["UploadForm"]["properties"]["file"], &schemas["File"]] {
        assert_eq!((file["type"].as_str(), file["format"].as_str()), (Some("string"), Some("binary")));
    }
    let mut described = BTreeSet::new();
    for operation in
        description["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let examples = response["content"]["application/problem+json"]["examples"].as_object();
            for (code, example) in examples.into_iter().flatten() {
                assert_eq!(example["value"]["code"], *code);
                assert_eq!(example["value"]["status"].to_string(), *status);
                described.insert(code.clone());
            }
        }
    }
    let codes = description["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let codes: BTreeSet<String> = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    let everywhere = ["headers-too-large", "internal", "invalid-request", "method-not-allowed", "not-found"];
    let everywhere = everywhere.map(str::to_owned);
    assert_eq!(described.into_iter().chain(everywhere).collect::<BTreeSet<_>>(), codes);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_whole_from_here_and_are_asked_for_again() {
    let desk = Desk::open();

    for (path, kind) in [("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")] {
        let response = desk.get(path).send().await.unwrap();
        let headers = response.headers().clone();
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind), "{path}");
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'; script-src 'self'; style-src 'self';")
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let again = desk.get(path).header("If-None-Match", &headers["etag"]).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
    }
    for path in ["/docs", "/docs/"] {
        let page = desk.get(path).send().await.unwrap();
        assert!(
            page.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("style-src 'self' 'unsafe-inline'")
        );
        let page = page.text().await.unwrap();
        assert!(page.contains("swagger-ui-bundle.js") && !page.contains("http"), "{page}");
    }
    let setup = desk.get("/docs/swagger-initializer.js").send().await.unwrap().text().await.unwrap();
    assert!(setup.contains("\"/openapi.json\"") && !setup.contains("http"), "{setup}");
    assert_eq!(desk.get("/docs/swagger-ui-bundle.js").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_part_by_part() {
    let desk = Desk::open();

    let ready = desk.get("/readyz").send().await.unwrap();

    assert_eq!(ready.status(), 200);
    let forever = serde_json::json!({"succeeded": null, "failed": null, "cancelled": null, "records": null});
    assert_eq!(
        json(ready).await,
        serde_json::json!({
            "status": "ready", "database": "ok", "queue": "ok", "blobs": "ok", "disk": "ok", "retention": forever,
        })
    );
    assert_eq!(desk.get("/healthz").send().await.unwrap().status(), 200);
}
