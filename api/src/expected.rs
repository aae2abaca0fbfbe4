//! The digest that an upload's sender expects. He says it in a form's field `md5`, as `Content-MD5` (RFC 1864) or as
//! `Repr-Digest` (RFC 9530); where he says it twice, it must be the same.

use actix_web::http::header::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};
use task_data::kinds::md5::Md5Digest;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::problem::{Code, Problem};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What a request's headers expect.
///
/// # Errors
/// 400 if one of them is malformed, or they contradict each other.
pub fn of_headers(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    let mut expected = None;
    for value in headers.get_all(CONTENT_MD5) {
        let digest = STANDARD.decode(value.as_bytes()).ok().and_then(digest_of);
        let digest = digest.ok_or_else(|| {
            Code::InvalidDigest
                .because("Content-MD5 is the base64 of 16 bytes, 24 characters with its padding.")
        })?;
        expected = agreed(expected, Some(digest))?;
    }
    agreed(expected, of_repr_digest(headers)?)
}

/// What a form's field expects; nothing if it is empty, for a browser sends each field of a form.
///
/// # Errors
/// 400 if it is malformed.
pub fn of_field(value: &[u8]) -> Result<Option<Md5Digest>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let digest = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    digest.map(Some).ok_or_else(|| Code::InvalidDigest.because("The field `md5` has 32 hex digits."))
}

/// The one that both expect.
///
/// # Errors
/// 400 if they contradict each other.
pub fn agreed(one: Option<Md5Digest>, other: Option<Md5Digest>) -> Result<Option<Md5Digest>, Problem> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            Err(Code::InvalidDigest.because("Two different digests are expected."))
        }
        _ => Ok(one.or(other)),
    }
}

/// A dictionary of structured fields (RFC 9651), one member an algorithm, which may stand on several lines.
fn of_repr_digest(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    let lines: Vec<&[u8]> = headers.get_all(REPR_DIGEST).map(|value| value.as_bytes()).collect();
    let field: Option<Dictionary> = Parser::new(&lines.join(&b", "[..])).parse().ok();
    let field = field.ok_or_else(malformed)?;
    // Other algorithms are not ours to check.
    let Some(member) = field.get("md5") else { return Ok(None) };
    let digest = match member {
        ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. }) => digest_of(bytes.clone()),
        _ => None,
    };
    digest.map(Some).ok_or_else(malformed)
}

fn malformed() -> Problem {
    Code::InvalidDigest
        .because("Repr-Digest is written `md5=:…:`, with the base64 of 16 bytes between the colons.")
}

fn digest_of(bytes: Vec<u8>) -> Option<Md5Digest> {
    bytes.try_into().ok().map(Md5Digest)
}

/// The headers, for OpenAPI.
pub struct ExpectedHeaders;

impl IntoParams for ExpectedHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        // Without examples: Swagger UI would send them.
        let header = |name, description| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .description(Some(description))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build()
        };
        vec![
            header(
                "Content-MD5",
                "The digest that you expect, in base64 (RFC 1864), such as `kAFQmDzST7DWlj99KOF/cg==`; the result tells \
                 whether it matches",
            ),
            header(
                "Repr-Digest",
                "The same as a structured field (RFC 9530), such as `md5=:kAFQmDzST7DWlj99KOF/cg==:`",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";
    const ABC_BASE64: &str = "kAFQmDzST7DWlj99KOF/cg==";

    fn sent(headers: &[(HeaderName, &str)]) -> Result<Option<String>, ()> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        of_headers(&map).map(|digest| digest.map(|digest| digest.to_string())).map_err(|_| ())
    }

    #[test]
    fn each_way_gives_the_same_digest() {
        let repr = format!("md5=:{ABC_BASE64}:");
        let with_others = format!("sha-256=:AAAA:;x=1, md5=:{ABC_BASE64}:, unixsum=:AAA=:");
        for headers in [
            vec![(CONTENT_MD5, ABC_BASE64)],
            vec![(REPR_DIGEST, &*repr)],
            vec![(REPR_DIGEST, &*with_others)],
            vec![(REPR_DIGEST, "sha-256=:AAAA:"), (REPR_DIGEST, &*repr)],
            vec![(CONTENT_MD5, ABC_BASE64), (REPR_DIGEST, &*repr)],
        ] {
            assert_eq!(sent(&headers), Ok(Some(ABC.to_owned())), "{headers:?}");
        }
        assert_eq!(of_field(ABC.to_uppercase().as_bytes()).unwrap(), ABC.parse().ok());
    }

    #[test]
    fn who_expects_nothing_says_nothing() {
        assert_eq!(sent(&[]), Ok(None));
        assert_eq!(sent(&[(REPR_DIGEST, "sha-256=:AAAA:")]), Ok(None));
        assert_eq!(of_field(b"").unwrap(), None);
    }

    #[test]
    fn what_is_malformed_is_refused_rather_than_left_unchecked() {
        for value in
            ["", ABC, "kAFQmDzST7DWlj99KOF/cg", "kAFQmDzST7DWlj99KOF=", "kAFQmDzST7DWlj99KOF_cg==", "é"]
        {
            assert_eq!(sent(&[(CONTENT_MD5, value)]), Err(()), "{value}");
        }
        for value in [
            "md5",
            "md5=abc",
            "md5=:AAAA:",
            "md5=\"kAFQmDzST7DWlj99KOF/cg==\"",
            "md5=:kAFQmDzST7DWlj99KOF/cg==",
            "md5=(:kAFQmDzST7DWlj99KOF/cg==:)",
            ":kAFQmDzST7DWlj99KOF/cg==:",
            "é",
        ] {
            assert_eq!(sent(&[(REPR_DIGEST, value)]), Err(()), "{value}");
        }
        for value in [b" ".as_slice(), b"abc", b" 900150983cd24fb0d6963f7d28e17f72", b"\xff"] {
            assert!(of_field(value).is_err());
        }
    }

    #[test]
    fn two_that_differ_are_refused() {
        let other = "1B2M2Y8AsgTpgAmY7PhCfg==";

        assert_eq!(sent(&[(CONTENT_MD5, ABC_BASE64), (CONTENT_MD5, other)]), Err(()));
        assert_eq!(sent(&[(CONTENT_MD5, ABC_BASE64), (REPR_DIGEST, &format!("md5=:{other}:"))]), Err(()));
    }
}
