//! `Idempotency-Key`: a repeated upload with the same key gets the same ticket.

use actix_web::http::header::{HeaderMap, HeaderName};
use task_data::idempotency::IdempotencyKey;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::http::problem::{Code, Problem};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that marks a ticket as given out before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Returns the key that a request brings.
///
/// # Errors
/// 400 if it is malformed, or there are several.
pub fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(HEADER);
    let key = values.next().map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    match (key, values.next()) {
        (None, _) => Ok(None),
        (Some(Some(key)), None) => Ok(Some(key)),
        (Some(None), None) => Err(Code::InvalidIdempotencyKey.into()),
        (Some(_), Some(_)) => Err(Code::InvalidIdempotencyKey.because("There are several.")),
    }
}

/// The header, for OpenAPI.
pub struct IdempotencyHeader;

impl IntoParams for IdempotencyHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(128))
            .pattern(Some("^[!-~]+$"));
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "Your name for this request. Sent again with the same key, the same content gets the same ticket, with \
                 `Idempotency-Replayed: true`; different content is rejected.",
            ))
            .schema(Some(key));
        vec![header.build()]
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn sent(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        key(&headers).map(|key| key.map(|key| key.to_string())).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_request_has_one_key_or_none() {
        assert_eq!(sent(&[]), Ok(None));
        assert_eq!(sent(&[b"a-key"]), Ok(Some("a-key".to_owned())));
        for garbage in [&[b"".as_slice()][..], &[b"\xff"], &[b"a b"], &[b"a", b"a"], &[b"a", b""]] {
            assert_eq!(sent(garbage), Err("invalid-idempotency-key".to_owned()), "{garbage:?}");
        }
    }
}
