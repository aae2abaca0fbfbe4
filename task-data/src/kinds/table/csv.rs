//! CSV as RFC 4180 has it, taken apart as it streams, in memory that doesn't grow with it.
//!
//! Not the `csv` crate: it takes whatever comes for some CSV, and what is wanted here is to be told where a file is none: a quote that is
//! never closed, text after a closing one, a carriage return of its own. On files that have none of that both agree.
//!
//! A record ends with CRLF or LF, and at the end of the file; empty lines are none. Quotes count where a cell begins with one. A byte
//! order mark before the first record is left out.

/// Cells of a record that are kept; the others are only counted.
const KEPT: usize = super::COLUMNS.len();
/// Bytes of a cell at most.
pub(super) const MAX_CELL: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What is wrong with a record.
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
            Self::CarriageReturn => "there is a carriage return without a line feed",
            Self::AfterQuote => "there is text after the closing quote; a quote in a quoted cell is doubled",
            Self::Unclosed => "the quote is never closed",
            Self::TooLong => "the cell has more than 1 MiB",
        }
    }
}

/// Cells up to the end of a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The first ones, each cut at its limit.
    pub cells: [Vec<u8>; KEPT],
    /// How many there are.
    pub count: usize,
    /// The line of the file that it begins on, counted from 1.
    pub line: u64,
    /// The first thing that is wrong, with the number of its cell, counted from 0.
    pub fault: Option<(usize, Fault)>,
}

impl Record {
    fn clear(&mut self) {
        self.cells.iter_mut().for_each(Vec::clear);
        (self.count, self.line, self.fault) = (0, 0, None);
    }
}

/// Where in a record the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the file's first cell, with so many bytes of a byte order mark behind it.
    Mark(usize),
    /// Before a record.
    #[default]
    Outside,
    CellBegins,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell, which closes it or is the first of two.
    Quote,
    /// Behind a carriage return outside of quotes.
    Return,
}

/// Bytes in, records out.
#[derive(Debug)]
pub(super) struct Records {
    record: Record,
    state: State,
    /// Bytes of the cell so far, also of one that is not kept.
    length: usize,
    /// Line feeds so far.
    lines: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self { record: Record::default(), state: State::Mark(0), length: 0, lines: 0 }
    }
}

impl Records {
    /// The next record, its bytes and those before taken off the front of `bytes`; `None` when these are used up.
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
                    // Not a whole one is text as any other.
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
                    // Behind nothing, it ends an empty line.
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

    /// The record that ends with the file, if there is one.
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

    /// The first `length` of these bytes.
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
            // What goes on to the end of the file is told for what it is.
            Some((_, first)) if fault == Fault::Unclosed && *first == Fault::TooLong => *first = fault,
            Some(_) => {}
            none => *none = Some((column, fault)),
        }
    }
}
