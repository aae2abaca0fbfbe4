//! Small request bodies in JSON, with the place of an error; and the end of answers in JSON.

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ResponseHead;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

use crate::http::body::Body;
use crate::http::problem::{Code, Problem};

/// Reads a whole body as an object of type `T`. `form` describes the expected object in words. The media type is not checked.
///
/// # Errors
/// 400 if it is not JSON, 413 if it is too large; the given code if it is JSON of another form.
pub async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    body: &mut Body,
    code: Code,
    form: &str,
) -> Result<T, Problem> {
    parse(&body.whole(request).await?, code, form)
}

/// Returns a value as JSON with a line break at its end, so that a terminal shows its prompt on the next line.
pub fn line(value: &impl Serialize) -> Vec<u8> {
    // Writing fails only for a map whose keys are not strings; no answer has one.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Ends an answer in JSON with a line break, if the answer is whole and not compressed.
pub fn ended(head: &ResponseHead, body: BoxBody) -> BoxBody {
    let kind = head.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") || head.headers().contains_key(CONTENT_ENCODING) {
        return body;
    }
    match body.try_into_bytes() {
        Ok(bytes) if bytes.is_empty() || bytes.ends_with(b"\n") => BoxBody::new(bytes),
        Ok(bytes) => BoxBody::new([&bytes, &b"\n"[..]].concat()),
        Err(body) => body,
    }
}

fn parse<T: DeserializeOwned>(json: &[u8], code: Code, form: &str) -> Result<T, Problem> {
    let told =
        |error: &Error, what: String| format!("At line {}, column {}: {what}.", error.line(), error.column());
    // Invalid JSON is reported first, whatever form was expected, also where it is nested too deeply.
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| Code::InvalidJson.because(told(&error, "it is not JSON".to_owned())))?;
    // Derived code would accept an array for a struct.
    if !value.is_object() {
        return Err(code.because(format!("Expected {form}.")));
    }
    serde_json::from_slice(json).map_err(|error| code.because(told(&error, format!("expected {form}"))))
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: String,
    }

    fn status(json: &str) -> Result<String, u16> {
        let named: Result<Named, Problem> =
            parse(json.as_bytes(), Code::InvalidUser, "an object with a `name`");
        named.map(|named| named.name).map_err(|problem| problem.status_code().as_u16())
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_another_json() {
        assert_eq!(status(" {\"name\": \"\\u00e9\"} "), Ok("é".to_owned()));
        let deep = format!("{{\"name\": {}", "[".repeat(100_000));
        let deep_and_closed = format!("{deep}{}}}", "]".repeat(100_000));
        for no_json in ["", "{", "name=a", "{\"name\" 5}", "{\"name\": \"\\ud800\"}", &deep, &deep_and_closed]
        {
            assert_eq!(status(no_json), Err(400), "{:.30}", no_json);
        }
        for other in [
            "null",
            "[]",
            "[\"a\"]",
            "\"a\"",
            "{}",
            "{\"name\": 5}",
            "{\"name\": null}",
            "{\"name\": \"a\", \"more\": 1}",
            "{\"name\": \"a\", \"name\": \"a\"}",
        ] {
            assert_eq!(status(other), Err(422), "{other}");
        }
    }
}
