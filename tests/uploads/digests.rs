//! Digests that are expected, and tasks that are found by theirs.

use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::client::{accepted, ask, form_request};
use crate::kit::content::{md5sum, noise};
use crate::kit::stack::{Setup, Stack, both_stacks};

const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";
const ABC_BASE64: &str = "kAFQmDzST7DWlj99KOF/cg==";
/// Of nothing.
const OTHER_BASE64: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
const OTHER: &str = "d41d8cd98f00b204e9800998ecf8427e";

impl Stack {
    /// Hands an upload in and returns its result.
    async fn result_of(&self, request: RequestBuilder) -> Value {
        let id = accepted(&ask(request).await.unwrap());
        self.until(&id, "succeeded").await["result"].clone()
    }

    fn form_with(&self, form: Form) -> RequestBuilder {
        self.http.post(self.url("/api/v1/md5")).multipart(form)
    }
}

fn abc() -> Part {
    Part::text("abc").file_name("abc.txt")
}

#[apply(both_stacks)]
async fn an_expected_digest_is_compared_however_it_is_said(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (hex, base64, matches) in [(ABC, ABC_BASE64, true), (OTHER, OTHER_BASE64, false)] {
        let repr = format!("sha-256=:AAAA:, md5=:{base64}:");
        let requests = [
            stack.form_with(Form::new().text("md5", hex).part("file", abc())),
            stack.form_with(Form::new().part("file", abc()).text("md5", hex.to_uppercase())),
            stack.form_with(Form::new().part("file", abc())).header("Content-MD5", base64),
            stack.form_with(Form::new().part("file", abc())).header("Repr-Digest", &repr),
            stack.put_request("abc.txt", "abc").header("Content-MD5", base64),
            stack.put_request("abc.txt", "abc").header("Repr-Digest", &repr),
            stack.form_with(Form::new().text("md5", hex).part("file", abc())).header("Repr-Digest", &repr),
        ];
        for request in requests {
            let result = stack.result_of(request).await;
            assert_eq!(result, json!({"md5": ABC, "expected": hex, "matches": matches}));
        }
    }
}

#[apply(both_stacks)]
async fn a_large_upload_is_compared_too(setup: Setup) {
    let stack = setup.start(&[]).await;
    let bytes = noise(7, 200_000);
    let md5 = md5sum(&bytes);
    let file = Part::bytes(bytes).file_name("large");

    let result =
        stack.result_of(stack.form_with(Form::new().part("file", file).text("md5", md5.clone()))).await;

    assert_eq!(result, json!({"md5": md5, "expected": md5, "matches": true}));
}

#[apply(both_stacks)]
async fn who_expects_nothing_is_told_of_no_comparison(setup: Setup) {
    let stack = setup.start(&[]).await;
    for request in [
        stack.put_request("abc.txt", "abc"),
        stack.form_with(Form::new().text("note", "no digest").part("file", abc())),
        stack.form_with(Form::new().part("file", abc()).text("md5", "")),
    ] {
        assert_eq!(stack.result_of(request).await, json!({"md5": ABC}));
    }
}

#[apply(both_stacks)]
async fn a_malformed_or_contradicting_digest_is_refused_and_nothing_is_kept(setup: Setup) {
    let stack = setup.start(&[]).await;
    let forms = [
        Form::new().text("md5", &ABC[1..]).part("file", abc()),
        Form::new().part("file", abc()).text("md5", ABC_BASE64),
        Form::new().part("file", abc()).text("md5", format!(" {ABC}")),
        Form::new().text("md5", ABC).part("file", abc()).text("md5", OTHER),
    ];
    for form in forms {
        ask(stack.form_with(form)).await.unwrap().problem(400, "invalid-digest");
    }
    for (name, value) in [
        ("Content-MD5", ABC),
        ("Content-MD5", ""),
        ("Content-MD5", "kAFQmDzST7DWlj99KOF/"),
        ("Repr-Digest", "md5=abc"),
        ("Repr-Digest", "md5=:AAAA:"),
        ("Repr-Digest", "md5"),
        ("Repr-Digest", "md5=:"),
    ] {
        let put = ask(stack.put_request("a", "abc").header(name, value)).await.unwrap();
        put.problem(400, "invalid-digest");
        let post = ask(stack.post_request("a", "abc").header(name, value)).await.unwrap();
        post.problem(400, "invalid-digest");
    }
    let contradicting = stack
        .put_request("a", "abc")
        .header("Content-MD5", ABC_BASE64)
        .header("Repr-Digest", format!("md5=:{OTHER_BASE64}:"));
    ask(contradicting).await.unwrap().problem(400, "invalid-digest");
    let not_utf8 = b"--b\r\nContent-Disposition: form-data; name=\"md5\"\r\n\r\n\xff\r\n--b--\r\n";
    stack.raw(&form_request("b", not_utf8)).await.problem(400, "invalid-digest");

    assert_eq!(stack.tasks("").await, Vec::<Value>::new());
    stack.until_no_blobs().await;
}

#[apply(both_stacks)]
async fn tasks_are_found_by_their_digest_in_either_case(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut abc_ids = Vec::new();
    for _ in 0..5 {
        abc_ids.push(stack.put("abc").await);
    }
    let other = stack.put("").await;
    for id in abc_ids.iter().chain([&other]) {
        stack.until(id, "succeeded").await;
    }
    abc_ids.sort();
    abc_ids.reverse();

    for digest in [ABC.to_owned(), ABC.to_uppercase()] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = stack.get(&format!("/api/v1/md5?digest={digest}&limit=2{after}")).await.json();
            found.extend(page["tasks"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let ids: Vec<&str> = found.iter().map(|task| task["id"].as_str().unwrap()).collect();
        assert_eq!(ids, abc_ids);
        assert_eq!(found[0], stack.task(&abc_ids[0]).await);
    }
    let unknown = stack.get("/api/v1/md5?digest=ffffffffffffffffffffffffffffffff").await;
    assert_eq!(unknown.json(), json!({"tasks": [], "next": null}));
}

#[apply(both_stacks)]
async fn a_digest_that_is_none_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    for digest in ["", "abc", &ABC[1..], &format!("{ABC}0"), ABC_BASE64, "%00", "'"] {
        stack.get(&format!("/api/v1/md5?digest={digest}")).await.problem(400, "invalid-digest");
    }
    for query in ["", "?limit=1", "?Digest=x", &format!("?digest={ABC}&digest={ABC}")] {
        stack.get(&format!("/api/v1/md5{query}")).await.problem(400, "invalid-parameter");
    }
    for query in ["limit=0", "limit=1001", "after=x"] {
        let answer = stack.get(&format!("/api/v1/md5?digest={ABC}&{query}")).await;
        answer.problem(400, "invalid-parameter");
    }
}
