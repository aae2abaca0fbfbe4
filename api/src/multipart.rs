//! `multipart/form-data` (RFC 7578) as a stream, in bounded memory.
//!
//! Not actix-multipart: it believes a part's own `Content-Length` (so a wrong one would cut a file short without a word),
//! refuses names that are not UTF-8 or hold controls, and can't tell a cut body from a broken one. Here a part is whole
//! only when its closing boundary was read, and the form only when its final one was.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use crate::body::Body;
use crate::filename::unescaped;
use crate::problem::{Code, Problem};

/// Bytes of one part's headers.
pub const MAX_HEAD: usize = 8 << 10;
/// Parts of one form.
pub const MAX_PARTS: usize = 16;
const MAX_HEADERS: usize = 32;
/// RFC 2046, 5.1.1.
const MAX_BOUNDARY: usize = 70;
/// What stands before the first boundary or after the final one means nothing.
const MAX_AROUND: usize = 8 << 10;

/// The boundary that a request's headers announce.
///
/// # Errors
/// 415 if the body is no form, 400 if there is no usable boundary.
pub fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type: Option<mime::Mime> =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.parse().ok());
    let form = content_type
        .filter(|found| found.essence_str() == mime::MULTIPART_FORM_DATA.essence_str())
        .ok_or_else(|| {
            Code::UnsupportedMediaType.because("Send multipart/form-data with one part named `file`.")
        })?;
    let boundary = form.get_param(mime::BOUNDARY).map(|boundary| boundary.as_str().to_owned());
    boundary
        .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
        .ok_or_else(|| invalid("The Content-Type needs a boundary of 1 to 70 characters."))
}

/// A form that is being read from a body.
pub struct Form<'a> {
    body: &'a mut Body,
    parser: Parser,
    parts: usize,
}

impl<'a> Form<'a> {
    pub fn new(body: &'a mut Body, boundary: &str) -> Self {
        Self { body, parser: Parser::new(boundary), parts: 0 }
    }

    /// The next part, the rest of the one before skipped; `None` after the last one, the body read to its end.
    pub async fn part(&mut self) -> Result<Option<Part>, Problem> {
        loop {
            match self.event().await? {
                Event::Data(_) | Event::PartEnd => {}
                Event::Part(_) if self.parts == MAX_PARTS => {
                    return Err(invalid(format!("A form has at most {MAX_PARTS} parts.")));
                }
                Event::Part(head) => {
                    self.parts += 1;
                    return Part::parse(&head).map(Some);
                }
                Event::End => return self.finish().await.map(|()| None),
            }
        }
    }

    /// The next bytes of the part; `None` when it is whole.
    pub async fn data(&mut self) -> Result<Option<Bytes>, Problem> {
        match self.event().await? {
            Event::Data(bytes) => Ok(Some(bytes)),
            Event::Part(_) | Event::PartEnd | Event::End => Ok(None),
        }
    }

    async fn event(&mut self) -> Result<Event, Problem> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Ok(event);
            }
            match self.body.chunk().await? {
                Some(chunk) => self.parser.feed(&chunk),
                None => return Err(Code::IncompleteUpload.because("The form's closing boundary is missing.")),
            }
        }
    }

    /// Reads what follows the final boundary: a body is whole only at its end.
    async fn finish(&mut self) -> Result<(), Problem> {
        let mut after = 0;
        while let Some(chunk) = self.body.chunk().await? {
            after += chunk.len();
            if after > MAX_AROUND {
                return Err(invalid("There is more after the form's closing boundary."));
            }
        }
        Ok(())
    }
}

/// What a part says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub name: Vec<u8>,
    /// As it was sent, escapes undone.
    pub filename: Option<Vec<u8>>,
    pub content_type: Option<Vec<u8>>,
}

impl Part {
    fn parse(head: &[u8]) -> Result<Self, Problem> {
        let (mut disposition, mut content_type) = (None, None);
        let headers = headers(head)?;
        for (name, value) in &headers {
            if name.eq_ignore_ascii_case(b"content-disposition") {
                disposition = Some(value);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                content_type = Some(value.to_vec());
            }
        }
        let unnamed = || invalid("A part needs a header `Content-Disposition: form-data; name=\"…\"`.");
        let mut parameters = Parameters::of(disposition.ok_or_else(unnamed)?);
        if !parameters.kind.eq_ignore_ascii_case(b"form-data") {
            return Err(unnamed());
        }
        let name = parameters.take(b"name").ok_or_else(unnamed)?;
        let plain = parameters.take(b"filename");
        // RFC 6266, 4.3: the extended form is the better one, if it can be read.
        let filename = match parameters.take(b"filename*") {
            Some(extended) => Some(decode_extended(&extended, plain)),
            None => plain,
        };
        Ok(Self { name, filename, content_type })
    }
}

type Header<'a> = (&'a [u8], &'a [u8]);

/// The lines of a head. A line break within quotes belongs to the value: some clients don't escape it in a file's name.
fn headers(head: &[u8]) -> Result<Vec<Header<'_>>, Problem> {
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        let colon = line
            .iter()
            .position(|&byte| byte == b':')
            .ok_or_else(|| invalid("A part's header has no colon."))?;
        headers.push((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()));
        if headers.len() > MAX_HEADERS {
            return Err(invalid(format!("A part has at most {MAX_HEADERS} headers.")));
        }
        rest = after;
    }
    Ok(headers)
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    for end in memmem::find_iter(text, b"\r\n") {
        let quotes = unescaped_quotes(&text[..end]);
        if quotes.is_multiple_of(2) {
            return (&text[..end], &text[end + 2..]);
        }
    }
    (text, &[])
}

fn unescaped_quotes(text: &[u8]) -> usize {
    let mut is_escaped = false;
    text.iter()
        .filter(|&&byte| {
            let counts = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            counts
        })
        .count()
}

/// `form-data; name="a"; filename="b"`.
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

    fn take(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let (_, value) = self.named.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(std::mem::take(value))
    }
}

/// A token or a quoted string, and what follows it from the next `;` on.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let (mut value, mut at) = (Vec::new(), 0);
    while at < quoted.len() && quoted[at] != b'"' {
        // Only what must be escaped is unescaped: there are clients that send `C:\x` as it stands.
        let is_escape = quoted[at] == b'\\' && matches!(quoted.get(at + 1), Some(b'"' | b'\\'));
        at += usize::from(is_escape);
        value.push(quoted[at]);
        at += 1;
    }
    let after = quoted.get(at..).unwrap_or_default();
    let next = after.iter().position(|&byte| byte == b';').unwrap_or(after.len());
    (value, &after[next..])
}

/// `UTF-8''caf%C3%A9` (RFC 5987); what can't be read so is taken as far as it can, unless there is a `plain` one.
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

#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// A part begins: its headers.
    Part(Bytes),
    Data(Bytes),
    /// The part's closing boundary was read.
    PartEnd,
    /// The final boundary was read.
    End,
}

enum State {
    /// Before the first boundary; so many bytes were dropped.
    Preamble(usize),
    /// At a boundary, which is whole.
    Delimiter,
    /// Behind a boundary: the rest of its line tells whether it is the final one.
    Boundary,
    Head,
    Data,
    /// At the boundary that ends a part.
    PartEnd,
    End,
}

/// Bytes in, events out; no I/O.
struct Parser {
    buffer: BytesMut,
    delimiter: Finder<'static>,
    state: State,
}

impl Parser {
    fn new(boundary: &str) -> Self {
        // The first boundary needs no line break before it; this one stands for it.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        Self { buffer, delimiter, state: State::Preamble(0) }
    }

    fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next event; `None` if more bytes are needed for it.
    fn next(&mut self) -> Result<Option<Event>, Problem> {
        loop {
            match self.state {
                State::Preamble(dropped) => {
                    let (before, is_found) = self.until_delimiter();
                    let dropped = dropped + before.len();
                    if dropped > MAX_AROUND {
                        return Err(invalid("The form's first boundary is missing."));
                    }
                    self.state = if is_found { State::Delimiter } else { State::Preamble(dropped) };
                    if !is_found {
                        return Ok(None);
                    }
                }
                State::Delimiter => {
                    self.buffer.advance(self.delimiter.needle().len());
                    self.state = State::Boundary;
                }
                State::Boundary => {
                    if self.buffer.starts_with(b"--") {
                        self.state = State::End;
                        continue;
                    }
                    let Some(end) = memmem::find(&self.buffer, b"\r\n") else {
                        return if self.buffer.len() > MAX_BOUNDARY { Err(bad_boundary()) } else { Ok(None) };
                    };
                    // RFC 2046 allows blanks behind a boundary. The line break stays, so that a head always stands
                    // between two of them, an empty one too.
                    if !self.buffer.split_to(end).trim_ascii().is_empty() {
                        return Err(bad_boundary());
                    }
                    self.state = State::Head;
                }
                State::Head => {
                    let end = memmem::find(&self.buffer, b"\r\n\r\n");
                    if end.unwrap_or(self.buffer.len()) > MAX_HEAD {
                        return Err(invalid(format!("A part's headers have at most {MAX_HEAD} bytes.")));
                    }
                    let Some(end) = end else { return Ok(None) };
                    let head = self.buffer.split_to(end + 4).freeze();
                    self.state = State::Data;
                    return Ok(Some(Event::Part(head.slice(end.min(2)..end))));
                }
                State::Data => {
                    let (data, is_found) = self.until_delimiter();
                    self.state = if is_found { State::PartEnd } else { State::Data };
                    if !data.is_empty() {
                        return Ok(Some(Event::Data(data)));
                    }
                    if !is_found {
                        return Ok(None);
                    }
                }
                State::PartEnd => {
                    self.state = State::Delimiter;
                    return Ok(Some(Event::PartEnd));
                }
                State::End => return Ok(Some(Event::End)),
            }
        }
    }

    /// Takes what certainly stands before the next delimiter, and tells whether the delimiter follows.
    fn until_delimiter(&mut self) -> (Bytes, bool) {
        let found = self.delimiter.find(&self.buffer);
        let end = found.unwrap_or_else(|| {
            let tail = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
            // A delimiter that has begun but not ended yet begins with the first line break that it can.
            memchr::memchr(b'\r', &self.buffer[tail..]).map_or(self.buffer.len(), |at| tail + at)
        });
        (self.buffer.split_to(end).freeze(), found.is_some())
    }
}

fn bad_boundary() -> Problem {
    invalid("A line begins with the boundary and goes on.")
}

fn invalid(detail: impl Into<String>) -> Problem {
    Code::InvalidMultipart.because(detail)
}
