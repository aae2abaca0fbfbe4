//! Which files are tables and which are not, in whatever pieces they arrive.

use proptest::prelude::*;
use serde_json::json;

use super::check::{Check, Column, Errors, NoText};
use super::csv::MAX_CELL;
use super::*;

type Checked = Result<Result<u64, Errors>, NoText>;

fn checked(chunks: &[&[u8]]) -> Checked {
    let mut check = Check::default();
    for chunk in chunks {
        check.feed(chunk)?;
    }
    check.finish()
}

fn rows_of(chunks: &[&[u8]]) -> Result<Vec<Row>, Damaged> {
    let (mut reader, mut rows) = (RowParser::default(), Vec::new());
    for chunk in chunks {
        reader.feed(chunk, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    Ok(rows)
}

/// Returns the one error of a file.
fn error_of(file: &[u8]) -> (u64, Column, String) {
    let Ok(Err(errors)) = checked(&[file]) else { panic!("{:?}", checked(&[file])) };
    assert_eq!((errors.total, errors.first.len()), (1, 1), "{errors:?}");
    let error = errors.first.into_iter().next().unwrap();
    (error.row, error.column, error.reason)
}

fn row(user_id: i64, title: &str, body: &str) -> Row {
    Row { user_id, title: title.to_owned(), body: body.to_owned() }
}

#[test]
fn tables_have_their_rows() {
    for (file, rows) in [
        ("userId,title,body", vec![]),
        ("userId,title,body\r\n", vec![]),
        ("\u{feff}userId,title,body\n1,a,b", vec![row(1, "a", "b")]),
        ("userId,title,body\n1,a,b\r\n-2,,\n", vec![row(1, "a", "b"), row(-2, "", "")]),
        ("\"userId\",title,body\n1,\"a,\r\n\"\"b\"\"\",\"\"\n", vec![row(1, "a,\r\n\"b\"", "")]),
        (
            "userId,title,body\n\n1,a \"b\" c,d\n\r\n2,é,\u{feff}\n\n",
            vec![row(1, "a \"b\" c", "d"), row(2, "é", "\u{feff}")],
        ),
        ("userId,title,body\n+1,=cmd|' /C calc'!A0,@x", vec![row(1, "=cmd|' /C calc'!A0", "@x")]),
        ("userId,title,body\n9223372036854775807,a,b", vec![row(i64::MAX, "a", "b")]),
    ] {
        assert_eq!(checked(&[file.as_bytes()]), Ok(Ok(rows.len() as u64)), "{file}");
        assert_eq!(rows_of(&[file.as_bytes()]), Ok(rows), "{file}");
    }
}

#[test]
fn what_is_no_text_is_told_whatever_else_is_wrong() {
    for file in [
        &b"\xff\xfeu\0s\0"[..],
        b"\xfe\xff\0u",
        b"\x89PNG\r\n",
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        b"userId,title,body\n1,caf\xe9,b\n",
        b"userId,title,body\n1,caf\xe9",
        b"userId,title,body\n1,caf\xc3",
        b"userId,title,body\n1,a\0,b\n",
        b"\xef\xbb",
    ] {
        assert_eq!(checked(&[file]), Err(NoText), "{}", String::from_utf8_lossy(file));
    }
}

#[test]
fn what_is_wrong_is_told_by_row_and_column() {
    use Column::{Name, Number};
    for (file, row, column, reason) in [
        ("", 0, Name("userId"), "expected a header"),
        ("\u{feff}", 0, Name("userId"), "expected a header"),
        ("\n\n", 0, Name("userId"), "expected a header"),
        ("1,a,b\n", 0, Name("userId"), "expected the header userId,title,body"),
        ("userId;title;body\n1;a;b\n2;c;d\n", 0, Name("userId"), "expected the header"),
        ("userid,title,body\n", 0, Name("userId"), "expected the header"),
        ("userId,body,title\n", 0, Name("title"), "expected the header"),
        ("userId,title\n", 0, Name("body"), "expected the header"),
        ("userId,title,body,more\n", 0, Number(4), "expected the header"),
        (" userId,title,body\n", 0, Name("userId"), "expected the header"),
        ("userId,title,body\r1,a,b\r", 0, Name("body"), "a carriage return without a line feed"),
        ("userId,title,body\n1,a\n", 1, Name("body"), "expected 3 cells, got 2"),
        ("userId,title,body\n1,a,b\n2,a,b,c,d\n", 2, Number(4), "expected 3 cells, got 5"),
        ("userId,title,body\n1;a;b\n", 1, Name("title"), "expected 3 cells, got 1"),
        ("userId,title,body\nx,a,b\n", 1, Name("userId"), "expected a 64-bit integer, got"),
        ("userId,title,body\n,a,b\n", 1, Name("userId"), "expected a 64-bit integer, got"),
        ("userId,title,body\n 1,a,b\n", 1, Name("userId"), "expected a 64-bit integer, got"),
        ("userId,title,body\n1.0,a,b\n", 1, Name("userId"), "expected a 64-bit integer, got"),
        ("userId,title,body\n9223372036854775808,a,b\n", 1, Name("userId"), "expected a 64-bit integer, got"),
        ("userId,title,body\n1,a,\"b\n2,a,b\n", 1, Name("body"), "expected a closing quote"),
        ("userId,title,body\n1,\"a\" b,c\n", 1, Name("title"), "after the closing quote"),
        ("userId,title,body\n1,a\rb,c\n", 1, Name("title"), "a carriage return without a line feed"),
        ("userId,title,body\n1,a,b\r", 1, Name("body"), "a carriage return without a line feed"),
    ] {
        let (told_row, told_column, told) = error_of(file.as_bytes());

        assert_eq!((told_row, told_column), (row, column), "{file:?}: {told}");
        assert!(told.contains(reason), "{file:?}: {told}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_came() {
    let long = "9".repeat(50);
    let file = format!(
        "\u{feff}userId,title,body\r\n\n1,\"two\nlines\",\"\r\n\"\n1.0,a,b\n\n\u{202e}1,a,b\n{long},a,b\n"
    );
    // The pieces of the file do not matter.
    for size in [1, 7, file.len()] {
        let chunks: Vec<&[u8]> = file.as_bytes().chunks(size).collect();

        let Ok(Err(errors)) = checked(&chunks) else { panic!("it is a table") };

        let told: Vec<_> = errors.first.iter().map(|error| (error.row, error.line, &*error.reason)).collect();
        let cut = format!("expected a 64-bit integer, got \"{}\" …", &long[..24]);
        let expected = [
            (2, 6, "expected a 64-bit integer, got \"1.0\""),
            (3, 8, "expected a 64-bit integer, got \"\\u{202e}1\""),
            (4, 9, &cut),
        ];
        assert_eq!(told, expected);
    }
    let Ok(Err(errors)) = checked(&[b"\nid,title\n"]) else { panic!("it is a table") };
    assert_eq!(errors.first[0].line, 2);
    assert_eq!(errors.first[0].reason, "expected the header userId,title,body, got \"id,title\"");
}

#[test]
fn errors_are_counted_beyond_those_that_are_told() {
    let file = format!("userId,title,body\n{}", "x,a,b\n".repeat(250));

    let Ok(Err(errors)) = checked(&[file.as_bytes()]) else { panic!("it is a table") };

    assert_eq!((errors.first.len(), errors.total), (100, 250));
    assert_eq!(
        json!(errors.first[99]),
        json!({"row": 100, "column": "userId", "reason": "expected a 64-bit integer, got \"x\"", "line": 101})
    );
}

#[test]
fn neither_long_cells_nor_many_nor_an_open_quote_take_memory() {
    let header = b"userId,title,body\n1,";
    let (chunk, many) = (vec![b'a'; 1 << 20], [&b"x,"[..]; 50_000].concat());
    for (begin, chunk, count, reason) in [
        (&b""[..], &chunk, 10, "at most 1 MiB"),
        (b"\"", &chunk, 100, "expected a closing quote"),
        (b"", &many, 2, "got 100002"),
    ] {
        let mut check = Check::default();
        check.feed(&[header, begin].concat()).unwrap();
        for _ in 0..count {
            check.feed(chunk).unwrap();
            assert!(check.kept_bytes() <= 3 * MAX_CELL);
        }
        let Ok(Err(errors)) = check.finish() else { panic!("it is a table") };
        assert!(errors.first[0].reason.contains(reason), "{errors:?}");
    }
    let fits = [&header[..], &chunk, b",\n"].concat();
    assert_eq!(checked(&[&fits]), Ok(Ok(1)));
}

#[test]
fn the_outcome_log_has_the_counts() {
    assert_eq!(outcome_detail(&json!(Output { rows: 3, failed: 1 })), "rows=3 failed=1");
    assert_eq!(outcome_detail(&json!({})), "-");
}

/// Generates pieces of files that are almost tables.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"userId,title,body\n"[..],
        b"1,a,b\r\n",
        b"\"",
        b"\"\"",
        b",",
        b"\n",
        b"\r",
        b"\r\n",
        b"7",
        b"x",
        b";",
        "é".as_bytes(),
        "😀".as_bytes(),
        "\u{feff}".as_bytes(),
        b"\xe9",
        b"\0",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_file_is_cut(is_headed: bool, file in pieces(), size in 1_usize..5) {
        let header = if is_headed { &b"userId,title,body\n"[..] } else { b"" };
        let file = [header, &file].concat();
        let cut: Vec<&[u8]> = file.chunks(size).collect();

        prop_assert_eq!(checked(&cut), checked(&[&file]));
        prop_assert_eq!(rows_of(&cut), rows_of(&[&file]));
    }

    #[test]
    fn valid_files_are_read_as_the_csv_crate_reads_them(
        rows in prop::collection::vec((any::<i64>(), "[a-z,\"\r\n é'=]{0,8}", "[a-z,\"\r\n é'=]{0,8}"), 0..10),
    ) {
        let rows: Vec<Row> = rows.iter().map(|(user_id, title, body)| row(*user_id, title, body)).collect();
        let mut writer = ::csv::Writer::from_writer(b"userId,title,body\n".to_vec());
        for row in &rows {
            writer.write_record([&row.user_id.to_string(), &row.title, &row.body]).unwrap();
        }
        let file = writer.into_inner().unwrap();

        prop_assert_eq!(checked(&[&file]), Ok(Ok(rows.len() as u64)));
        prop_assert_eq!(rows_of(&[&file]), Ok(rows.clone()));
        let theirs: Vec<Row> = ::csv::Reader::from_reader(&*file).deserialize().map(Result::unwrap).collect();
        prop_assert_eq!(theirs, rows);
    }
}
