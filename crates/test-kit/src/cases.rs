//! Malformed requests and the expected answers: one table, which the tests of the API alone and of the whole program share.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The statuses that are answered below the handlers, without a body.
pub const BELOW: [u16; 4] = [400, 408, 414, 431];

/// The table `cases.toml`, whose head describes its columns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    words: BTreeMap<String, String>,
    /// The rows of the table.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

/// A request, and its expected answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The fault of the request.
    pub name: String,
    request: Option<String>,
    #[serde(default)]
    headers: String,
    #[serde(default)]
    body: String,
    raw: Option<String>,
    /// Whether the client ends its side after the request, or the server ends the connection.
    #[serde(default)]
    pub ends: bool,
    status: OneOrMany<u16>,
    code: Option<OneOrMany<String>>,
    #[serde(default)]
    rows: usize,
    has: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Cases {
    /// Reads the table, and fills in these words of the server that gets its requests.
    pub fn of<const N: usize>(words: [(&str, &str); N]) -> Self {
        let mut cases: Self = toml::from_str(include_str!("../cases.toml")).unwrap();
        cases.words.extend(words.map(|(word, meaning)| (word.to_owned(), meaning.to_owned())));
        cases
    }

    /// Returns the bytes of the request.
    pub fn bytes(&self, case: &Case) -> Vec<u8> {
        if let Some(raw) = &case.raw {
            return written(raw, &self.words);
        }
        let body = written(&case.body, &self.words);
        let request = case.request.as_deref().expect("a request, or raw bytes");
        let head = format!(
            "{request} HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: {}\r\n{}\r\n",
            body.len(),
            case.headers
        );
        [written(&head, &self.words), body].concat()
    }
}

/// Returns a text of the table as bytes: replaces words first, then repeats and bytes.
fn written(text: &str, words: &BTreeMap<String, String>) -> Vec<u8> {
    let text = words
        .iter()
        .fold(text.to_owned(), |text, (word, meaning)| text.replace(&format!("<<{word}>>"), meaning));
    let (mut bytes, mut rest) = (Vec::new(), text.as_str());
    while let Some((before, after)) = rest.split_once("<<") {
        bytes.extend(before.as_bytes());
        let (what, after) = after.split_once(">>").expect("`<<` has its `>>`");
        match (what.strip_prefix("0x"), what.split_once('*')) {
            (Some(hex), _) => bytes.push(u8::from_str_radix(hex, 16).unwrap()),
            (None, Some((times, text))) => bytes.extend(text.repeat(times.parse().unwrap()).as_bytes()),
            (None, None) => panic!("no such word: {what}"),
        }
        rest = after;
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// The outcome of a request: its response, and the rows that it has left.
pub struct Outcome<'a> {
    /// The status; 0 if the connection has ended.
    pub status: u16,
    /// The headers, with a line break after each.
    pub head: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The code of the problem in the body, if it is one.
    pub code: Option<&'a str>,
    /// The number of new tasks, records and users.
    pub rows: usize,
}

impl Case {
    /// Checks that the outcome is the expected one.
    ///
    /// # Errors
    /// A description of the difference.
    pub fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        let &Outcome { status, head, body, code, rows } = outcome;
        let text = String::from_utf8_lossy(body);
        let told: String = text.chars().take(300).collect();
        let wrong = |what: String| Err(format!("{what}: {status} {told}"));
        if !self.status.all().contains(&status) {
            return wrong("another status".to_owned());
        }
        if rows != (if (200..300).contains(&status) { self.rows } else { 0 }) {
            return wrong(format!("{rows} rows"));
        }
        if status == 0 {
            return Ok(());
        }
        if self.has.as_ref().is_some_and(|has| !head.contains(has) && !text.contains(has)) {
            return wrong(format!("it doesn't have {:?}, {head}", self.has));
        }
        if status < 400 {
            return Ok(());
        }
        let codes = self.code.as_ref().map_or(&[][..], OneOrMany::all);
        if body.is_empty() {
            // A head that is too large is rejected by whichever layer sees its end, or its limit, first.
            let may_be_below = codes.is_empty() || self.status.all().len() > 1 || status == 431;
            let is_below = may_be_below && BELOW.contains(&status);
            return if is_below { Ok(()) } else { wrong("no code".to_owned()) };
        }
        match code {
            Some(code) if codes.iter().any(|known| known == code) => Ok(()),
            other => wrong(format!("the code {other:?}")),
        }
    }
}
