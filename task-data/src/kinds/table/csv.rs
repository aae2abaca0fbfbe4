//! A streaming parser for CSV (RFC 4180); its memory does not grow with the file.
//!
//! The `csv` crate accepts any input as some CSV. This parser reports where a file is malformed: a quote that is never closed, text after a
//! closing quote, a carriage return without a line feed. On well-formed files both agree.
//!
//! A record ends with CRLF, with LF or at the end of the file; empty lines are skipped. Quotes count where a cell begins with one. A byte
//! order mark before the first record is skipped.

/// The number of cells of a record that are kept; further ones are only counted.
const KEPT: usize = super::COLUMNS.len();
/// The largest size of a cell in bytes.
pub(super) const MAX_CELL: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// An error in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    CarriageReturn,
    AfterQuote,
    Unclosed,
    TooLong,
}

impl Fault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::CarriageReturn => "expected CRLF or LF, got a carriage return without a line feed",
            Self::AfterQuote => "expected a comma or a line end after the closing quote, got text; double the quotes inside a quoted cell",
            Self::Unclosed => "expected a closing quote, got the end of the file",
            Self::TooLong => "expected a cell of at most 1 MiB, got a larger one",
        }
    }
}

/// A record: the cells up to the end of a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The first cells, each cut at the limit.
    pub cells: [Vec<u8>; KEPT],
    /// The number of cells.
    pub count: usize,
    /// The line of the file on which the record begins, counted from 1.
    pub line: u64,
    /// The first error, with the number of its cell, counted from 0.
    pub fault: Option<(usize, Fault)>,
}

impl Record {
    fn clear(&mut self) {
        self.cells.iter_mut().for_each(Vec::clear);
        (self.count, self.line, self.fault) = (0, 0, None);
    }
}

/// The state of the parser: the position of the next byte in a record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the file's first cell, after so many bytes of a byte order mark.
    Mark(usize),
    /// Before a record.
    #[default]
    Outside,
    CellBegins,
    Plain,
    Quoted,
    /// After a quote in a quoted cell, which either closes the cell or is the first of two.
    Quote,
    /// After a carriage return outside of quotes.
    Return,
}

/// Parses bytes into records.
#[derive(Debug)]
pub(super) struct Records {
    record: Record,
    state: State,
    /// The length of the current cell in bytes, whether or not it is kept.
    length: usize,
    /// The number of line feeds so far.
    lines: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self { record: Record::default(), state: State::Mark(0), length: 0, lines: 0 }
    }
}

impl Records {
    /// Returns the next record and removes its bytes, and all before them, from the front of `bytes`; `None` when `bytes` is used up.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<&Record> {
        if self.state == State::Outside {
            self.record.clear();
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            match (self.state, byte) {
                (State::Mark(seen), _) if BYTE_ORDER_MARK.get(seen) == Some(&byte) => {
                    self.state = State::Mark(seen + 1);
                }
                (State::Mark(seen), _) => {
                    // An incomplete byte order mark is ordinary text.
                    self.state = State::Outside;
                    if (1..BYTE_ORDER_MARK.len()).contains(&seen) {
                        self.begin();
                        self.push(&BYTE_ORDER_MARK[..seen]);
                        self.state = State::Plain;
                    }
                    continue;
                }
                (State::Outside, b'\n') => self.lines += 1,
                (State::Outside, b'\r') => self.state = State::Return,
                (State::Outside, _) => {
                    self.begin();
                    continue;
                }
                (State::Return, b'\n') => {
                    self.state = State::Outside;
                    self.lines += 1;
                    *bytes = rest;
                    // Without a record before it, CRLF ends an empty line.
                    if self.record.count > 0 {
                        return Some(&self.record);
                    }
                    continue;
                }
                (State::Return, _) => {
                    self.lone_return();
                    continue;
                }
                (State::CellBegins, b'"') => self.state = State::Quoted,
                (State::CellBegins | State::Plain | State::Quote, b',') => self.begin(),
                (State::CellBegins | State::Plain | State::Quote, b'\r') => self.state = State::Return,
                (State::CellBegins | State::Plain | State::Quote, b'\n') => {
                    self.state = State::Outside;
                    self.lines += 1;
                    *bytes = rest;
                    return Some(&self.record);
                }
                (State::CellBegins | State::Plain, _) => {
                    let text = bytes.iter().position(|byte| matches!(byte, b',' | b'\r' | b'\n'));
                    self.state = State::Plain;
                    self.push_from(bytes, text.unwrap_or(bytes.len()));
                    continue;
                }
                (State::Quoted, b'"') => self.state = State::Quote,
                (State::Quoted, _) => {
                    let text = bytes.iter().position(|byte| *byte == b'"');
                    let text = text.unwrap_or(bytes.len());
                    self.lines += bytes[..text].iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.push_from(bytes, text);
                    continue;
                }
                (State::Quote, b'"') => {
                    self.push(b"\"");
                    self.state = State::Quoted;
                }
                (State::Quote, _) => {
                    self.fault(Fault::AfterQuote);
                    self.state = State::Plain;
                    continue;
                }
            }
            *bytes = rest;
        }
        None
    }

    /// Returns the record that ends with the file, if there is one.
    pub(super) fn end(&mut self) -> Option<&Record> {
        match std::mem::take(&mut self.state) {
            State::Outside => return None,
            State::Mark(seen) if seen == 0 || seen == BYTE_ORDER_MARK.len() => return None,
            State::Mark(seen) => {
                self.begin();
                self.push(&BYTE_ORDER_MARK[..seen]);
            }
            State::Quoted => self.fault(Fault::Unclosed),
            State::Return => self.lone_return(),
            State::CellBegins | State::Plain | State::Quote => {}
        }
        self.state = State::Outside;
        Some(&self.record)
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.record.cells.iter().map(Vec::len).sum()
    }

    fn begin(&mut self) {
        if self.record.count == 0 {
            self.record.line = self.lines + 1;
        }
        self.record.count += 1;
        self.length = 0;
        self.state = State::CellBegins;
    }

    fn lone_return(&mut self) {
        if self.record.count == 0 {
            self.begin();
        }
        self.fault(Fault::CarriageReturn);
        self.state = State::Plain;
    }

    /// Appends the first `length` of these bytes to the cell, and removes them from `bytes`.
    fn push_from(&mut self, bytes: &mut &[u8], length: usize) {
        let (text, rest) = bytes.split_at(length);
        self.push(text);
        *bytes = rest;
    }

    fn push(&mut self, text: &[u8]) {
        self.length = self.length.saturating_add(text.len());
        if self.length > MAX_CELL {
            self.fault(Fault::TooLong);
        } else if let Some(cell) = self.record.cells.get_mut(self.record.count - 1) {
            cell.extend_from_slice(text);
        }
    }

    fn fault(&mut self, fault: Fault) {
        let column = self.record.count.saturating_sub(1);
        match &mut self.record.fault {
            // A cell that runs to the end of the file is reported as unclosed, not as too long.
            Some((_, first)) if fault == Fault::Unclosed && *first == Fault::TooLong => *first = fault,
            Some(_) => {}
            none => *none = Some((column, fault)),
        }
    }
}
