//! `multipart/form-data` (RFC 7578) as a stream, in bounded memory.
//!
//! A part is whole only once its closing boundary has been read, and the form only with its final one.
//! `docs/decisions/048-own-multipart-parser.md` says why the parser is our own.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use crate::http::body::Body;
use crate::http::problem::{Code, Problem};
use crate::uploads::part::{MAX_BOUNDARY, Part, invalid};

/// The most bytes of the headers of one part.
pub const MAX_HEAD: usize = 8 << 10;
/// The most parts of one form.
pub const MAX_PARTS: usize = 16;
/// The most bytes before the first boundary and after the final one, which are ignored.
const MAX_AROUND: usize = 8 << 10;

/// A form that is being read from a body.
pub struct MultipartForm<'a> {
    body: &'a mut Body,
    parser: Parser,
    parts: usize,
}

impl<'a> MultipartForm<'a> {
    pub fn new(body: &'a mut Body, boundary: &[u8]) -> Self {
        Self { body, parser: Parser::new(boundary), parts: 0 }
    }

    /// Returns the next part, and skips the rest of the one before; `None` after the last one, with the body read to its end.
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

    /// Returns the next bytes of the part; `None` when it is whole.
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

    /// Reads the bytes after the final boundary: a body is whole only at its end.
    async fn finish(&mut self) -> Result<(), Problem> {
        let mut after = self.parser.buffer.len();
        loop {
            if after > MAX_AROUND {
                return Err(invalid("There is more after the form's closing boundary."));
            }
            match self.body.chunk().await? {
                Some(chunk) => after += chunk.len(),
                None => return Ok(()),
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// The headers of a part that begins.
    Part(Bytes),
    Data(Bytes),
    /// The part's closing boundary was read.
    PartEnd,
    /// The final boundary was read.
    End,
}

enum ParserState {
    /// Before the first boundary; that many bytes were dropped.
    Preamble(usize),
    /// At a boundary that has been received whole.
    Delimiter,
    /// After a boundary: the rest of its line tells whether it is the final one.
    Boundary,
    Head,
    Data,
    /// At the boundary that ends a part.
    PartEnd,
    End,
}

/// A parser that takes bytes in and gives events out, without I/O.
struct Parser {
    buffer: BytesMut,
    delimiter: Finder<'static>,
    state: ParserState,
}

impl Parser {
    fn new(boundary: &[u8]) -> Self {
        // The first boundary needs no line break before it; this one takes its place.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let delimiter = Finder::new(&[b"\r\n--", boundary].concat()).into_owned();
        Self { buffer, delimiter, state: ParserState::Preamble(0) }
    }

    fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Returns the next event; `None` if it needs more bytes.
    fn next(&mut self) -> Result<Option<Event>, Problem> {
        loop {
            match self.state {
                ParserState::Preamble(dropped) => {
                    let (before, is_found) = self.until_delimiter();
                    let dropped = dropped + before.len();
                    if dropped > MAX_AROUND {
                        return Err(invalid("The form's first boundary is missing."));
                    }
                    self.state =
                        if is_found { ParserState::Delimiter } else { ParserState::Preamble(dropped) };
                    if !is_found {
                        return Ok(None);
                    }
                }
                ParserState::Delimiter => {
                    self.buffer.advance(self.delimiter.needle().len());
                    self.state = ParserState::Boundary;
                }
                ParserState::Boundary => {
                    if self.buffer.starts_with(b"--") {
                        self.state = ParserState::End;
                        continue;
                    }
                    let end = memmem::find(&self.buffer, b"\r\n");
                    if end.unwrap_or(self.buffer.len().saturating_sub(1)) > MAX_BOUNDARY {
                        return Err(bad_boundary());
                    }
                    let Some(end) = end else { return Ok(None) };
                    // RFC 2046 allows blanks behind a boundary. The line break stays, so that a head always stands
                    // between two of them, an empty one too.
                    if !self.buffer.split_to(end).trim_ascii().is_empty() {
                        return Err(bad_boundary());
                    }
                    self.state = ParserState::Head;
                }
                ParserState::Head => {
                    let end = memmem::find(&self.buffer, b"\r\n\r\n");
                    // The last three bytes may be the beginning of the end.
                    if end.unwrap_or(self.buffer.len().saturating_sub(3)) > MAX_HEAD {
                        return Err(invalid(format!("A part's headers have at most {MAX_HEAD} bytes.")));
                    }
                    let Some(end) = end else { return Ok(None) };
                    let head = self.buffer.split_to(end + 4).freeze();
                    self.state = ParserState::Data;
                    return Ok(Some(Event::Part(head.slice(end.min(2)..end))));
                }
                ParserState::Data => {
                    let (data, is_found) = self.until_delimiter();
                    self.state = if is_found { ParserState::PartEnd } else { ParserState::Data };
                    if !data.is_empty() {
                        return Ok(Some(Event::Data(data)));
                    }
                    if !is_found {
                        return Ok(None);
                    }
                }
                ParserState::PartEnd => {
                    self.state = ParserState::Delimiter;
                    return Ok(Some(Event::PartEnd));
                }
                ParserState::End => return Ok(Some(Event::End)),
            }
        }
    }

    /// Takes the bytes that certainly precede the next delimiter, and returns whether the delimiter follows.
    fn until_delimiter(&mut self) -> (Bytes, bool) {
        let found = self.delimiter.find(&self.buffer);
        let end = found.unwrap_or_else(|| {
            let tail = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
            // A delimiter that is not complete yet begins at the first possible line break.
            memchr::memchr(b'\r', &self.buffer[tail..]).map_or(self.buffer.len(), |at| tail + at)
        });
        (self.buffer.split_to(end).freeze(), found.is_some())
    }
}

fn bad_boundary() -> Problem {
    invalid("A line begins with the boundary and goes on.")
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parses a body that comes in chunks of that size: returns each part's content, and whether the form ended.
    fn parse(body: &[u8], chunk: usize) -> (Vec<Vec<u8>>, bool) {
        let (mut parser, mut parts) = (Parser::new(b"b0"), Vec::<Vec<u8>>::new());
        for chunk in body.chunks(chunk) {
            parser.feed(chunk);
            while let Some(event) = parser.next().unwrap() {
                match event {
                    Event::Part(head) => {
                        assert_eq!(head, "A: b");
                        parts.push(Vec::new());
                    }
                    Event::Data(data) => parts.last_mut().unwrap().extend_from_slice(&data),
                    Event::PartEnd => {}
                    Event::End => return (parts, true),
                }
            }
        }
        (parts, false)
    }

    fn form(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        for part in parts {
            body.extend_from_slice(b"--b0\r\nA: b\r\n\r\n");
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b0--");
        body
    }

    /// Returns content that resembles a boundary as much as it may.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\r\n--b".to_vec()),
            Just(b"--b0".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"-".to_vec()),
            Just(b"x".to_vec()),
        ];
        proptest::collection::vec(piece, 0..8)
            .prop_map(|pieces| pieces.concat())
            .prop_filter("it would be a boundary", |content| {
                memmem::find(&[b"\r\n", content.as_slice(), b"\r\n"].concat(), b"\r\n--b0").is_none()
            })
    }

    proptest! {
        #[test]
        fn parts_are_the_same_however_the_body_is_cut(parts in proptest::collection::vec(content(), 0..4), chunk in 1..40_usize) {
            prop_assert_eq!(parse(&form(&parts), chunk), (parts, true));
        }

        #[test]
        fn a_body_that_is_cut_short_never_ends(parts in proptest::collection::vec(content(), 1..4), cut in 1..60_usize) {
            let body = form(&parts);
            let cut = &body[..body.len().saturating_sub(cut)];

            prop_assert!(!parse(cut, 7).1);
        }
    }

    /// Parses as [`parse`] does, cutting the bytes at that place too; `None` if they are not a whole form.
    fn parts_of(body: &[u8], cut: usize) -> Option<Vec<Vec<u8>>> {
        let (mut parser, mut parts) = (Parser::new(b"b0"), Vec::<Vec<u8>>::new());
        let (first, second) = body.split_at(cut.min(body.len()));
        for chunk in [first, second] {
            parser.feed(chunk);
            while let Some(event) = parser.next().ok()? {
                match event {
                    Event::Part(head) => parts.push(head.to_vec()),
                    Event::Data(data) => parts.last_mut().unwrap().extend_from_slice(&data),
                    Event::PartEnd => {}
                    Event::End => return Some(parts),
                }
            }
        }
        None
    }

    proptest! {
        #[test]
        fn what_is_no_form_is_none_wherever_it_is_cut(body in "(\r\n|--b0|--|A: b|\r\n\r\n|[\r\n x]){0,24}", cut in 0..80_usize) {
            prop_assert_eq!(parts_of(body.as_bytes(), cut), parts_of(body.as_bytes(), 0));
        }
    }

    #[test]
    fn a_line_and_a_head_may_be_as_long_wherever_they_are_cut() {
        let blanks = |count| [b"--b0", &vec![b' '; count][..], b"\r\nA: b\r\n\r\nx\r\n--b0--"].concat();
        let head = |length| [b"--b0\r\n", &vec![b'h'; length - 2][..], b"\r\n\r\nx\r\n--b0--"].concat();
        for (body, is_form) in [
            (blanks(MAX_BOUNDARY), true),
            (blanks(MAX_BOUNDARY + 1), false),
            (head(MAX_HEAD), true),
            (head(MAX_HEAD + 1), false),
        ] {
            for cut in (0..body.len()).rev().take(200) {
                assert_eq!(parts_of(&body, cut).is_some(), is_form, "{cut} of {}", body.len());
            }
        }
    }

    #[test]
    fn blanks_behind_a_boundary_and_text_around_the_form_mean_nothing() {
        let body = b"hello\r\n--b0 \t\r\nA: b\r\n\r\nx\r\n--b0--\r\nbye";

        assert_eq!(parse(body, 3), (vec![b"x".to_vec()], true));
    }

    #[test]
    fn what_is_no_boundary_but_begins_like_one_is_refused() {
        for body in [
            &b"--b0x\r\nA: b\r\n\r\n"[..],
            &[b'x'; MAX_AROUND + 100],
            &[b"--b0\r\n", &[b'h'; MAX_HEAD + 9][..]].concat(),
        ] {
            let mut parser = Parser::new(b"b0");
            parser.feed(body);
            assert!(parser.next().is_err());
        }
    }
}
