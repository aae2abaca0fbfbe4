//! The digest that an upload's sender expects: a form's field `md5`, `Content-MD5` (RFC 1864) or `Repr-Digest` (RFC 9530), and where the
//! body is the file itself `Content-Digest` (RFC 9530) or `Digest` (RFC 3230). If several are sent, they must agree. A digest that can't be
//! checked is rejected, because its sender relies on the check.

use actix_web::http::header::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};
use task_data::kinds::md5::Md5Digest;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::http::problem::{Code, Problem};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");

/// Reads the digest that the headers of a request expect whose body is the file.
///
/// # Errors
/// 400 if one of them is malformed or has no algorithm that is checked, or they contradict each other.
pub fn of_file(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    let expected = agreed(of_representation(headers)?, of_fields(headers, CONTENT_DIGEST)?)?;
    agreed(expected, of_digest(headers)?)
}

/// Reads the digest that the headers of a request expect whose body is a form with the file in it.
///
/// # Errors
/// As [`of_file`], and 400 for a digest of the form.
pub fn of_form(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    if let Some(name) = [CONTENT_DIGEST, DIGEST].iter().find(|name| headers.contains_key(*name)) {
        let detail = format!(
            "`{name}` is the digest of the whole form, which is not checked. Send the file's as the field `md5` or as `Repr-Digest`."
        );
        return Err(Code::InvalidDigest.because(detail));
    }
    of_representation(headers)
}

/// Reads the digest that is expected of the file, whichever way it is sent.
fn of_representation(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    let mut expected = None;
    for value in headers.get_all(CONTENT_MD5) {
        let digest = STANDARD.decode(value.as_bytes()).ok().and_then(digest_of);
        let digest = digest.ok_or_else(|| {
            Code::InvalidDigest
                .because("Content-MD5 is the base64 of 16 bytes, 24 characters with its padding.")
        })?;
        expected = agreed(expected, Some(digest))?;
    }
    agreed(expected, of_fields(headers, REPR_DIGEST)?)
}

/// Reads the digest in a form's field; `None` if the field is empty, because a browser sends every field of a form.
///
/// # Errors
/// 400 if it is malformed.
pub fn of_field(value: &[u8]) -> Result<Option<Md5Digest>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let digest = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    digest
        .map(Some)
        .ok_or_else(|| Code::InvalidDigest.because("The field `md5` must be a digest of 32 hex digits."))
}

/// Returns the one digest of two expectations.
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

/// Reads a dictionary of structured fields (RFC 9651), one member an algorithm, which may span several lines.
fn of_fields(headers: &HeaderMap, name: HeaderName) -> Result<Option<Md5Digest>, Problem> {
    let lines: Vec<&[u8]> = headers.get_all(&name).map(|value| value.as_bytes()).collect();
    let malformed = || {
        let how = "is written `md5=:…:`, with the base64 of 16 bytes between the colons";
        Code::InvalidDigest.because(format!("`{name}` {how}; no other algorithm is checked."))
    };
    let field: Option<Dictionary> = Parser::new(&lines.join(&b", "[..])).parse().ok();
    let field = field.ok_or_else(malformed)?;
    let digest = match field.get("md5") {
        Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) => {
            digest_of(bytes.clone())
        }
        None if field.is_empty() => return Ok(None),
        _ => None,
    };
    digest.map(Some).ok_or_else(malformed)
}

/// Reads a list of `algorithm=value` (RFC 3230, 4.3.2): `MD5=`, then base64.
fn of_digest(headers: &HeaderMap) -> Result<Option<Md5Digest>, Problem> {
    let mut values = headers.get_all(DIGEST).flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    let Some(first) = values.next() else { return Ok(None) };
    let md5_of = |value: &[u8]| {
        let (name, value) = value.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"md5=").then(|| STANDARD.decode(value).ok().and_then(digest_of))
    };
    let digest = std::iter::once(first).chain(values).find_map(md5_of).flatten();
    digest.map(Some).ok_or_else(|| {
        let how = "is written `MD5=…`, with the base64 of 16 bytes; no other algorithm is checked";
        Code::InvalidDigest.because(format!("`digest` {how}."))
    })
}

fn digest_of(bytes: Vec<u8>) -> Option<Md5Digest> {
    bytes.try_into().ok().map(Md5Digest)
}

/// The headers with the digest that is expected of a file, for OpenAPI.
pub struct ExpectedHeaders;

impl IntoParams for ExpectedHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
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

/// The headers with the digest that is expected of a body that is the file, for OpenAPI.
pub struct ExpectedOfBody;

impl IntoParams for ExpectedOfBody {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            header("Content-Digest", "As `Repr-Digest`"),
            header("Digest", "The same as RFC 3230 has it, such as `MD5=kAFQmDzST7DWlj99KOF/cg==`"),
        ]
    }
}

/// Without an example, which Swagger UI would send.
fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
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
        of_file(&map).map(|digest| digest.map(|digest| digest.to_string())).map_err(|_| ())
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
            vec![(CONTENT_DIGEST, &*with_others)],
            vec![(DIGEST, &*format!("SHA-256=AAAA=,md5={ABC_BASE64}"))],
            vec![(DIGEST, &*format!(" MD5={ABC_BASE64} ")), (CONTENT_DIGEST, &*repr)],
        ] {
            assert_eq!(sent(&headers), Ok(Some(ABC.to_owned())), "{headers:?}");
        }
        assert_eq!(of_field(ABC.to_uppercase().as_bytes()).unwrap(), ABC.parse().ok());
    }

    #[test]
    fn who_expects_nothing_says_nothing() {
        assert_eq!(sent(&[]), Ok(None));
        assert_eq!(sent(&[(REPR_DIGEST, "")]), Ok(None));
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
        for value in ["", "sha-256=AAAA=", "md5", "md5=", "md5=AAAA", &format!("md5:{ABC_BASE64}")] {
            assert_eq!(sent(&[(DIGEST, value)]), Err(()), "{value}");
        }
        for value in [b" ".as_slice(), b"abc", b" 900150983cd24fb0d6963f7d28e17f72", b"\xff"] {
            assert!(of_field(value).is_err());
        }
    }

    #[test]
    fn what_can_not_be_checked_is_refused_rather_than_passed_over() {
        assert_eq!(sent(&[(REPR_DIGEST, "sha-256=:AAAA:")]), Err(()));
        assert_eq!(sent(&[(CONTENT_DIGEST, "sha-256=:AAAA:")]), Err(()));
        let of_the_form = format!("md5=:{ABC_BASE64}:");
        for name in [CONTENT_DIGEST, DIGEST] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(&of_the_form).unwrap());
            assert!(of_form(&headers).is_err());
        }
    }

    #[test]
    fn two_that_differ_are_refused() {
        let other = "1B2M2Y8AsgTpgAmY7PhCfg==";

        assert_eq!(sent(&[(CONTENT_MD5, ABC_BASE64), (CONTENT_MD5, other)]), Err(()));
        assert_eq!(
            sent(&[(DIGEST, &format!("md5={ABC_BASE64}")), (CONTENT_DIGEST, &format!("md5=:{other}:"))]),
            Err(())
        );
        assert_eq!(sent(&[(CONTENT_MD5, ABC_BASE64), (REPR_DIGEST, &format!("md5=:{other}:"))]), Err(()));
    }
}
