//! Decodes an answer's body to UTF-8, within bounds: its content coding and its charset.

use std::io::Read;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

/// Decodes an answer's content coding and charset; `None` if that is impossible, or yields more than `most` bytes. Bytes that are invalid
/// in the declared charset are left as they are.
///
/// Requests ask for no coding, and some services use one all the same.
pub fn decoded(bytes: Vec<u8>, headers: &HeaderMap, most: usize) -> Option<Vec<u8>> {
    let bytes = match coding(headers)?.as_deref() {
        None => bytes,
        Some("gzip" | "x-gzip") => inflated(MultiGzDecoder::new(&*bytes), most)?,
        Some("deflate") => inflated(ZlibDecoder::new(&*bytes), most)?,
        Some(_) => return None,
    };
    // A byte order mark outranks the header, and is not part of the text.
    let text = match charset(headers).unwrap_or(UTF_8).decode(&bytes) {
        (_, _, true) => None,
        (text, _, false) => Some(text.into_owned().into_bytes()),
    };
    let bytes = text.unwrap_or(bytes);
    (bytes.len() <= most).then_some(bytes)
}

/// Returns the content coding; the inner `None` means that the body has no coding. A body with several codings is not decoded.
fn coding(headers: &HeaderMap) -> Option<Option<String>> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().ok()?.to_ascii_lowercase();
        let named = value.split(',').map(str::trim).filter(|coding| !matches!(*coding, "" | "identity"));
        codings.extend(named.map(str::to_owned));
    }
    match codings.len() {
        0 | 1 => Some(codings.pop()),
        _ => None,
    }
}

fn inflated(decoder: impl Read, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= most).then_some(bytes)
}

fn charset(headers: &HeaderMap) -> Option<&'static Encoding> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let name = media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })?;
    Encoding::for_label(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const MOST: usize = 1000;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_coding_that_nobody_asked_for_is_undone_within_bounds() {
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(b"text").unwrap();
        let deflate = deflate.finish().unwrap();
        let twice = [gzip(b"te"), gzip(b"xt")].concat();
        for (coding, bytes, text) in [
            ("gzip", gzip(b"text"), Some("text")),
            ("GZIP", twice, Some("text")),
            ("x-gzip", gzip(b"text"), Some("text")),
            ("identity", b"text".to_vec(), Some("text")),
            ("", b"text".to_vec(), Some("text")),
            ("deflate", deflate, Some("text")),
            ("br", b"text".to_vec(), None),
            ("gzip, gzip", gzip(&gzip(b"text")), None),
            ("gzip", b"text".to_vec(), None),
            ("gzip", gzip(b"text")[..15].to_vec(), None),
            // A decompression bomb: a million bytes from 1 KB.
            ("gzip", gzip(&vec![b'x'; 1_000_000]), None),
        ] {
            let decoded = decoded(bytes, &headers(&[(CONTENT_ENCODING, coding)]), MOST);
            assert_eq!(decoded.as_deref(), text.map(str::as_bytes), "{coding}");
        }
    }

    #[test]
    fn a_charset_is_told_or_seen() {
        let utf_16: Vec<u8> = "\u{feff}é".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let cases: [(&'static str, &[u8], &[u8]); 7] = [
            ("application/json", "é".as_bytes(), "é".as_bytes()),
            ("application/json", "\u{feff}é".as_bytes(), "é".as_bytes()),
            ("application/json; charset=ISO-8859-1", &[0xe9], "é".as_bytes()),
            ("text/plain;Charset=\"windows-1252\"", &[0x80], "€".as_bytes()),
            ("application/json; charset=utf-16", &utf_16, "é".as_bytes()),
            ("application/json; charset=klingon", "é".as_bytes(), "é".as_bytes()),
            // Invalid in its charset: left as it is.
            ("application/json", &[0xe9], &[0xe9]),
        ];
        for (media_type, bytes, text) in cases {
            let decoded = decoded(bytes.to_vec(), &headers(&[(CONTENT_TYPE, media_type)]), MOST);
            assert_eq!(decoded.as_deref(), Some(text), "{media_type}");
        }
        let many = vec![0xe9; MOST];
        assert_eq!(decoded(many, &headers(&[(CONTENT_TYPE, "text/plain; charset=latin1")]), MOST), None);
    }
}
