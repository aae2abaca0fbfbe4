//! Forms with a mistake in a field. `test-kit`'s table checks the code of each; these tests check the words too.

use crate::desk::Desk;

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n";

/// Returns a form of these parts, each a head and a content.
fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (head, content) in parts {
        body.push_str(&format!("--b0\r\n{head}\r\n{content}\r\n"));
    }
    body.push_str("--b0--\r\n");
    body.into_bytes()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let kind = "Content-Type: multipart/form-data; boundary=b0";
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: desk\r\n{kind}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_a_field_is_told_and_nothing_is_taken() {
    let desk = Desk::open();
    const TABLE: &str = "userId,title,body\n1,a,b\n";
    let (md5, table) = ("/api/v1/md5", "/api/v1/tables");
    for (path, field, known) in [
        (md5, "name=\"md6\"", "`file` and `md5`"),
        (md5, "name=\"sha256\"", "`file` and `md5`"),
        (md5, "name=\"files\"", "`file` and `md5`"),
        (md5, "name=\"other\"; filename=\"b.txt\"", "`file` and `md5`"),
        (table, "name=\"md5\"", "`file`"),
        (table, "name=\"other\"; filename=\"b.csv\"", "`file`"),
    ] {
        let head = format!("Content-Disposition: form-data; {field}\r\n");
        let (slip, file) = ((head.as_str(), "900150983cd24fb0d6963f7d28e17f72"), (FILE, TABLE));
        for (parts, code) in [
            (&[slip, file][..], "invalid-multipart"),
            (&[file, slip], "invalid-multipart"),
            (&[slip], "missing-file"),
        ] {
            let answer = desk.raw(&post(path, &form(parts))).await;

            assert_eq!((answer.status(), answer.code()), (400, Some(code)), "{field}: {answer:?}");
            let detail = answer.body()["detail"].as_str().unwrap().to_owned();
            assert!(detail.ends_with(&format!("unknown; this form takes {known}.")), "{detail}");
            desk.is_empty_after(field).await;
        }
    }
}
