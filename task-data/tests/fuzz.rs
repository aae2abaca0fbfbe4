//! A table from outside: the accepted rows are those that were sent.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy.toml excuses only functions that are marked as tests"
)]

use task_data::kinds::table::check::{Check, Errors, NoText};
use task_data::kinds::table::{COLUMNS, Damaged, Row, RowParser};

fn checked(pieces: &[&[u8]]) -> Result<Result<u64, Errors>, NoText> {
    let mut check = Check::default();
    for piece in pieces {
        check.feed(piece)?;
    }
    check.finish()
}

fn rows_of(pieces: &[&[u8]]) -> Result<Vec<Row>, Damaged> {
    let (mut reader, mut rows) = (RowParser::default(), Vec::new());
    for piece in pieces {
        reader.feed(piece, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    Ok(rows)
}

/// Returns the rows of a table as the `csv` crate reads them; `None` if it is not a table.
fn to_others(table: &[u8]) -> Option<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(table);
    if !reader.headers().ok()?.iter().eq(COLUMNS) {
        return None;
    }
    let row = |record: csv::StringRecord| {
        let (title, body) = (record[1].to_owned(), record[2].to_owned());
        Some(Row { user_id: record[0].parse().ok()?, title, body })
    };
    reader.into_records().map(|record| row(record.ok()?)).collect()
}

/// Returns whether the table has no quotes or lone carriage returns, which other readers interpret differently.
fn is_plain(table: &[u8]) -> bool {
    let mut ends = table.split(|byte| *byte == b'\r').skip(1);
    !table.contains(&b'"') && ends.all(|rest| rest.starts_with(b"\n"))
}

fn written(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).unwrap();
    for row in rows {
        writer.write_record([&row.user_id.to_string(), &row.title, &row.body]).unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn a_table_is_the_same_however_it_is_cut_to_others_and_when_it_is_written_again() {
    test_kit::fuzz!("tables", |input: &[u8]| {
        let (whole, rows) = (checked(&[input]), rows_of(&[input]));
        for pieces in [input.chunks(1).collect(), test_kit::cut(input)] {
            assert_eq!(checked(&pieces), whole, "{pieces:?}");
            assert_eq!(rows_of(&pieces), rows, "{pieces:?}");
        }

        let is_text = std::str::from_utf8(input).is_ok_and(|text| !text.contains('\0'));
        assert_eq!(whole.is_ok(), is_text);
        match whole {
            Ok(Ok(count)) => {
                let rows = rows.unwrap();
                assert_eq!(rows.len() as u64, count);
                assert_eq!(to_others(input).as_ref(), Some(&rows));
                let written = written(&rows);
                assert_eq!(checked(&[&written]), Ok(Ok(count)));
                assert_eq!(rows_of(&[&written]), Ok(rows));
            }
            Ok(Err(errors)) => {
                assert!((1..=errors.total).contains(&(errors.first.len() as u64)), "{errors:?}");
                assert!(!is_plain(input) || to_others(input).is_none(), "{errors:?}");
            }
            Err(NoText) => {}
        }
    });
}
