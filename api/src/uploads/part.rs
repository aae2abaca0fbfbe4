//! The headers of a form and of its parts (RFC 7578, RFC 6266), read as clients write them.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::http::problem::{Code, Problem};
use crate::uploads::filename::unescaped;

/// The most characters of a boundary (RFC 2046, 5.1.1).
pub const MAX_BOUNDARY: usize = 70;
const MAX_HEADERS: usize = 32;

/// Returns the boundary that a request's headers announce.
///
/// # Errors
/// 415 if the body is not a form, 400 if the boundary is missing or unusable.
pub fn boundary(request: &HeaderMap) -> Result<Vec<u8>, Problem> {
    let content_type = request.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut parameters = Parameters::of(content_type);
    if !parameters.kind.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(
            Code::UnsupportedMediaType.because("Send multipart/form-data with one part named `file`.")
        );
    }
    parameters
        .take(b"boundary")?
        .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
        .ok_or_else(|| invalid("The Content-Type needs a boundary of 1 to 70 characters."))
}

/// The headers of a part.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub name: Vec<u8>,
    /// The file name as it was sent, without its escapes.
    pub filename: Option<Vec<u8>>,
    pub content_type: Option<Vec<u8>>,
}

impl Part {
    /// # Errors
    /// If the headers are malformed, or the part has no name.
    pub fn parse(head: &[u8]) -> Result<Self, Problem> {
        let (mut disposition, mut content_type) = (None, None);
        let headers = headers(head)?;
        for (name, value) in &headers {
            if name.eq_ignore_ascii_case(b"content-disposition") {
                if disposition.replace(value).is_some() {
                    return Err(invalid("A part has more than one Content-Disposition."));
                }
            } else if name.eq_ignore_ascii_case(b"content-type") {
                content_type = Some(value.to_vec());
            }
            check_encoding(name, value)?;
        }
        let unnamed = || invalid("A part needs a header `Content-Disposition: form-data; name=\"…\"`.");
        let mut parameters = Parameters::of(disposition.ok_or_else(unnamed)?);
        if !parameters.kind.eq_ignore_ascii_case(b"form-data") {
            return Err(unnamed());
        }
        let name = parameters.take(b"name")?.ok_or_else(unnamed)?;
        let plain = parameters.take(b"filename")?;
        // RFC 6266, 4.3: the extended form is preferred, if it can be read.
        let filename = match parameters.take(b"filename*")? {
            Some(extended) => Some(decode_extended(&extended, plain)),
            None => plain,
        };
        Ok(Self { name, filename, content_type })
    }
}

/// Rejects a header that says that the part's bytes are encoded: they would have to be decoded first, and the digest would be that of their
/// encoded form (RFC 7578, 4.7, forbids clients to send `Content-Transfer-Encoding`).
fn check_encoding(name: &[u8], value: &[u8]) -> Result<(), Problem> {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let is_identity = |names: &[&str]| names.iter().any(|name| value.eq_ignore_ascii_case(name.as_bytes()));
    let refused = if is("content-transfer-encoding") && !is_identity(&["7bit", "8bit", "binary"]) {
        "Send the part as it is: its Content-Transfer-Encoding can be 7bit, 8bit or binary."
    } else if is("content-encoding") && !is_identity(&["identity"]) {
        "Send the part without Content-Encoding."
    } else if is("content-type")
        && value.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
    {
        "Send each file as a part of its own: a part that has parts is not taken apart."
    } else {
        return Ok(());
    };
    Err(Code::UnsupportedMediaType.because(refused))
}

type Header<'a> = (&'a [u8], &'a [u8]);

/// Splits a head into its headers. A line break within quotes belongs to the value: some clients don't escape it in a file's name.
fn headers(head: &[u8]) -> Result<Vec<Header<'_>>, Problem> {
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let (line, after) = split_line(rest)?;
        let colon = line
            .iter()
            .position(|&byte| byte == b':')
            .ok_or_else(|| invalid("A part's header has no colon."))?;
        let name = line[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(invalid(
                "A part's header begins with its name: letters, digits or hyphens, then a colon.",
            ));
        }
        headers.push((name, line[colon + 1..].trim_ascii()));
        if headers.len() > MAX_HEADERS {
            return Err(invalid(format!("A part has at most {MAX_HEADERS} headers.")));
        }
        rest = after;
    }
    Ok(headers)
}

/// Returns whether a byte may be in a token (RFC 9110, 5.6.2), such as the name of a header.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Splits a head after its first line, in one pass: a head may be one quoted string full of line breaks.
///
/// # Errors
/// 400 for half a line break outside of quotes: some readers would end the head there and begin the file.
fn split_line(text: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'"' if !is_escaped => is_quoted = !is_quoted,
            b'\r' if !is_quoted && text.get(at + 1) == Some(&b'\n') => {
                return Ok((&text[..at], &text[at + 2..]));
            }
            b'\r' | b'\n' if !is_quoted => {
                return Err(invalid("A part's header has half a line break: lines end with CR and LF."));
            }
            _ => {}
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    Ok((text, &[]))
}

/// Parameters such as `form-data; name="a"; filename="b"`.
struct Parameters<'a> {
    kind: &'a [u8],
    named: Vec<(&'a [u8], Vec<u8>)>,
}

impl<'a> Parameters<'a> {
    fn of(value: &'a [u8]) -> Self {
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        let (kind, mut rest) = value.split_at(end);
        let mut named = Vec::new();
        while let Some(parameter) = rest.strip_prefix(b";") {
            let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else { break };
            let (value, after) = parameter_value(parameter[equals + 1..].trim_ascii_start());
            named.push((parameter[..equals].trim_ascii(), value));
            rest = after;
        }
        Self { kind: kind.trim_ascii(), named }
    }

    /// Removes a parameter and returns its value.
    ///
    /// # Errors
    /// 400 if it is there twice: readers differ in which one they use.
    fn take(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
        let mut found = self.named.extract_if(.., |(found, _)| found.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value);
        match found.next() {
            Some(_) => Err(invalid(format!("The parameter {} is there twice.", name.escape_ascii()))),
            None => Ok(value),
        }
    }
}

/// Reads a token or a quoted string; returns it and the rest from the next `;` on.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let (mut value, mut at) = (Vec::new(), 0);
    while at < quoted.len() && quoted[at] != b'"' {
        // Only characters that must be escaped are unescaped: some clients send `C:\x` as it stands.
        let is_escape = quoted[at] == b'\\' && matches!(quoted.get(at + 1), Some(b'"' | b'\\'));
        at += usize::from(is_escape);
        value.push(quoted[at]);
        at += 1;
    }
    let after = quoted.get(at..).unwrap_or_default();
    let next = after.iter().position(|&byte| byte == b';').unwrap_or(after.len());
    (value, &after[next..])
}

/// Decodes `UTF-8''caf%C3%A9` (RFC 5987). A malformed value is decoded as far as possible, unless there is a `plain` one.
fn decode_extended(extended: &[u8], plain: Option<Vec<u8>>) -> Vec<u8> {
    let text = String::from_utf8_lossy(extended);
    let mut fields = text.splitn(3, '\'');
    let fields = (fields.next(), fields.next(), fields.next());
    let (Some(charset), Some(_), Some(value)) = fields else {
        return plain.unwrap_or_else(|| unescaped(&text).into_owned());
    };
    let bytes = unescaped(value);
    if charset.eq_ignore_ascii_case("iso-8859-1") {
        return bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes();
    }
    match (std::str::from_utf8(&bytes), plain) {
        (Err(_), Some(plain)) => plain,
        _ => bytes.into_owned(),
    }
}

/// Returns the problem of a malformed form.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Code::InvalidMultipart.because(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary_of(content_type: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        let boundary = boundary(&headers).map_err(|problem| problem.to_string())?;
        Ok(String::from_utf8(boundary).unwrap())
    }

    #[test]
    fn a_boundary_has_1_to_70_characters() {
        assert_eq!(
            boundary_of("multipart/form-data; boundary=\"a b'()+_,-./:=?\"").unwrap(),
            "a b'()+_,-./:=?"
        );
        assert_eq!(
            boundary_of(&format!("Multipart/Form-Data; boundary={}", "x".repeat(70))).unwrap().len(),
            70
        );
        for wrong in
            ["", "; boundary=", "; boundary", "; boundary=\"\"", &format!("; boundary={}", "x".repeat(71))]
        {
            assert_eq!(boundary_of(&format!("multipart/form-data{wrong}")).unwrap_err(), "invalid-multipart");
        }
        for other in
            ["application/json", "multipart/mixed; boundary=b", "text", "multipart/form-datax; boundary=b"]
        {
            assert_eq!(boundary_of(other).unwrap_err(), "unsupported-media-type", "{other}");
        }
    }

    fn filename(parameters: &str) -> Option<String> {
        let head = format!("Content-Disposition: form-data; name=\"file\"; {parameters}");
        let part = Part::parse(head.as_bytes()).unwrap();
        assert_eq!(part.name, b"file", "{parameters}");
        part.filename.map(|name| String::from_utf8_lossy(&name).into_owned())
    }

    #[test]
    fn a_file_name_is_read_in_each_of_its_forms() {
        for (parameters, expected) in [
            (r#"filename="a.txt""#, "a.txt"),
            (r#"filename=a.txt; size=3"#, "a.txt"),
            (r#"FileName = "a.txt""#, "a.txt"),
            (r#"filename="a\"b;c.txt""#, "a\"b;c.txt"),
            (r#"filename="a\\b""#, r"a\b"),
            (r#"filename="C:\x""#, r"C:\x"),
            (r#"filename="a%22b""#, "a%22b"),
            (r#"filename="cut"#, "cut"),
            ("filename=\"two\r\nlines\"", "two\r\nlines"),
            (r#"filename="e.txt"; filename*=UTF-8''%C3%A9.txt"#, "é.txt"),
            (r#"filename*=iso-8859-1'en'%E9.txt"#, "é.txt"),
            (r#"filename="e.txt"; filename*=broken"#, "e.txt"),
            (r#"filename="e.txt"; filename*=UTF-8''%FF"#, "e.txt"),
            (r#"filename*=UTF-8''%FF"#, "\u{fffd}"),
            (r#"filename*=a%20b"#, "a b"),
            (r#"filename="""#, ""),
        ] {
            assert_eq!(filename(parameters).as_deref(), Some(expected), "{parameters}");
        }
        assert_eq!(filename(""), None);
    }

    #[test]
    fn a_part_whose_bytes_are_not_the_files_is_refused() {
        let parse = |header: &str| {
            let head = format!("Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n{header}");
            Part::parse(head.as_bytes()).map(|_| ()).map_err(|problem| problem.to_string())
        };
        for header in [
            "Content-Transfer-Encoding: binary",
            "content-transfer-encoding: 8BIT",
            "Content-Transfer-Encoding: 7bit",
            "Content-Encoding: identity",
            "Content-Type: multipart",
        ] {
            assert_eq!(parse(header), Ok(()), "{header}");
        }
        for header in [
            "Content-Transfer-Encoding: base64",
            "CONTENT-TRANSFER-ENCODING: Quoted-Printable",
            "Content-Transfer-Encoding: x-uuencode",
            "Content-Transfer-Encoding:",
            "Content-Encoding: gzip",
            "Content-Type: multipart/mixed; boundary=b",
            "Content-Type: Multipart/Form-Data; boundary=b",
        ] {
            assert_eq!(parse(header), Err("unsupported-media-type".to_owned()), "{header}");
        }
    }

    #[test]
    fn a_head_that_readers_take_apart_in_different_ways_is_refused() {
        let file = "Content-Disposition: form-data; name=\"file\"";
        for head in [
            // After the first of these, other readers see the file begin.
            format!("{file}\n\nabc"),
            format!("{file}\r\r\nabc: d"),
            format!("{file}\n\r\nabc: d"),
            format!("{file}\nX: y"),
            format!("{file}\rX: y"),
            format!("{file}\r\nX: a\nb"),
            format!("{file}\r\nX: y\n"),
            format!("{file}\r\n{file}"),
            format!("{file}; name=\"md5\""),
            format!("{file}; filename=\"a\"; FileName=\"b\""),
            format!("{file}\r\n: x"),
            format!("{file}\r\n folded: x"),
            format!("{file}\r\nX y: z"),
            format!("{file}\r\né: z"),
        ] {
            let refused = Part::parse(head.as_bytes()).map_err(|problem| problem.to_string());
            assert_eq!(refused, Err("invalid-multipart".to_owned()), "{head:?}");
        }
        for head in [format!("{file}\r\nX-Trace_1 : y"), format!("{file}; filename=\"two\nlines\"")] {
            assert!(Part::parse(head.as_bytes()).is_ok(), "{head:?}");
        }
        assert_eq!(
            boundary_of("multipart/form-data; boundary=a; boundary=b").unwrap_err(),
            "invalid-multipart"
        );
    }

    #[test]
    fn a_part_without_a_name_is_refused() {
        for head in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; filename=\"a\"",
            "Content-Disposition: attachment; name=\"file\"",
            "Content-Disposition",
        ] {
            assert!(Part::parse(head.as_bytes()).is_err(), "{head}");
        }
    }
}
