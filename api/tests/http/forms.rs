//! Forms, good and bad, byte by byte.

use crate::desk::{Desk, Raw};

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n";

/// A form of these parts, each a head and a content.
fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (head, content) in parts {
        body.push_str(&format!("--b0\r\n{head}\r\n{content}\r\n"));
    }
    body.push_str("--b0--\r\n");
    body.into_bytes()
}

fn post(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST /api/v1/md5 HTTP/1.1\r\nHost: desk\r\n{content_type}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn post_form(body: &[u8]) -> Vec<u8> {
    post("Content-Type: multipart/form-data; boundary=b0\r\n", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_wrong_is_refused_and_leaves_nothing() {
    let desk = Desk::open();
    let good = form(&[(FILE, "abc")]);
    let large = "x".repeat(100_000);
    let typed = |kind: &str| post(&format!("Content-Type: {kind}\r\n"), &good);
    let named =
        |name: &str| format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n");
    let cut = |by: usize| post_form(&form(&[(FILE, &large)])[..100_000 - by]);

    for (what, request, status, code) in [
        ("no content type", post("", &good), 415, "unsupported-media-type"),
        ("JSON", typed("application/json"), 415, "unsupported-media-type"),
        ("another multipart", typed("multipart/mixed; boundary=b0"), 415, "unsupported-media-type"),
        ("no boundary", typed("multipart/form-data"), 400, "invalid-multipart"),
        ("an empty boundary", typed("multipart/form-data; boundary="), 400, "invalid-multipart"),
        (
            "a boundary of 71 characters",
            typed(&format!("multipart/form-data; boundary={}", "b".repeat(71))),
            400,
            "invalid-multipart",
        ),
        ("another boundary", typed("multipart/form-data; boundary=b1"), 400, "incomplete-upload"),
        ("no body", post_form(b""), 400, "incomplete-upload"),
        ("no final boundary", post_form(&good[..good.len() - 8]), 400, "incomplete-upload"),
        ("half a final boundary", post_form(&good[..good.len() - 3]), 400, "incomplete-upload"),
        ("a file cut short", cut(5_000), 400, "incomplete-upload"),
        ("no parts", post_form(b"--b0--\r\n"), 400, "missing-file"),
        (
            "a body that is less than it says",
            {
                let mut request = post_form(&form(&[(FILE, &large)]));
                request.truncate(90_000);
                request
            },
            400,
            "incomplete-upload",
        ),
        (
            "no part named file",
            post_form(&form(&[("Content-Disposition: form-data; name=\"other\"\r\n", "abc")])),
            400,
            "missing-file",
        ),
        ("two files", post_form(&form(&[(FILE, &large), (FILE, &large)])), 400, "multiple-files"),
        ("no file chosen", post_form(&form(&[(&named(""), "")])), 400, "missing-file"),
        ("a part without disposition", post_form(&form(&[("A: b\r\n", "abc")])), 400, "invalid-multipart"),
        ("a part without headers", post_form(&form(&[("", "abc")])), 400, "invalid-multipart"),
        (
            "a part without name",
            post_form(&form(&[("Content-Disposition: form-data; filename=\"a\"\r\n", "abc")])),
            400,
            "invalid-multipart",
        ),
        (
            "10,000 parts",
            post_form(&form(&vec![("Content-Disposition: form-data; name=\"x\"\r\n", "y"); 10_000])),
            400,
            "invalid-multipart",
        ),
        (
            "a part with a header of 100 kB",
            post_form(&form(&[(&format!("{FILE}A: {large}\r\n"), "abc")])),
            400,
            "invalid-multipart",
        ),
        (
            "a part with 33 headers",
            post_form(&form(&[(&format!("{FILE}{}", "A: b\r\n".repeat(32)), "abc")])),
            400,
            "invalid-multipart",
        ),
        (
            "a field over 4 KiB",
            post_form(&form(&[
                ("Content-Disposition: form-data; name=\"note\"\r\n", &large[..4097]),
                (FILE, "abc"),
            ])),
            400,
            "invalid-multipart",
        ),
        (
            "a name of 256 bytes",
            post_form(&form(&[(&named(&large[..256]), "abc")])),
            400,
            "invalid-multipart",
        ),
        (
            "content in an encoding",
            post("Content-Encoding: gzip\r\nContent-Type: multipart/form-data; boundary=b0\r\n", &good),
            415,
            "unsupported-media-type",
        ),
    ] {
        let answer = desk.raw(&request).await;

        assert_eq!((answer.status(), answer.code()), (status, Some(code)), "{what}: {answer:?}");
        desk.is_empty_after(what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_unusual_but_right_is_taken() {
    let desk = Desk::open();
    let with_length = format!("{FILE}Content-Length: 1\r\n");
    let note = "Content-Disposition: form-data; name=\"note\"\r\n";
    let many: Vec<_> = vec![(note, "n"); 15].into_iter().chain([(FILE, "abc")]).collect();
    let quoted = String::from_utf8(form(&[(FILE, "abc")])).unwrap().replace("b0", "a b'()+_,-./:=?");

    for (what, request) in [
        ("no file name", post_form(&form(&[("Content-Disposition: form-data; name=file\r\n", "abc")]))),
        ("a part's own length, and a wrong one", post_form(&form(&[(&with_length, "abc")]))),
        ("fields around the file", post_form(&form(&[(note, "1"), (FILE, "abc"), (note, "2")]))),
        ("16 parts", post_form(&form(&many))),
        ("no line break at the end", post_form(form(&[(FILE, "abc")]).trim_ascii_end())),
        (
            "a boundary that must be quoted",
            post("Content-Type: multipart/form-data; boundary=\"a b'()+_,-./:=?\"\r\n", quoted.as_bytes()),
        ),
    ] {
        let answer = desk.raw(&request).await;

        assert_eq!(answer.status(), 202, "{what}: {answer:?}");
        assert_eq!(answer.body()["input"]["size"], 3, "{what}");
    }
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
            let request = String::from_utf8(post_form(&form(parts))).unwrap().replacen(md5, path, 1);

            let answer = desk.raw(request.as_bytes()).await;

            assert_eq!((answer.status(), answer.code()), (400, Some(code)), "{field}: {answer:?}");
            let detail = answer.body()["detail"].as_str().unwrap().to_owned();
            assert!(detail.ends_with(&format!("unknown; this form takes {known}.")), "{detail}");
            desk.is_empty_after(field).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_kept_as_sent_but_can_always_be_shown() {
    let desk = Desk::open();

    for (sent, kept) in [
        (&b"a.txt"[..], Some("a.txt")),
        (b"../../etc/passwd", Some("passwd")),
        (b"..\\..\\x", Some("x")),
        (b"C:\\x", Some("x")),
        (b"a\0b\x1bc\x7fd", Some("a\u{fffd}b\u{fffd}c\u{fffd}d")),
        (b"two\r\nlines", Some("two\u{fffd}\u{fffd}lines")),
        ("\u{202e}gpj.exe".as_bytes(), Some("\u{fffd}gpj.exe")),
        ("e\u{301} 🧥".as_bytes(), Some("e\u{301} 🧥")),
        (b"caf\xe9", Some("caf\u{fffd}")),
        (b"", None),
    ] {
        let mut body = b"--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"".to_vec();
        body.extend_from_slice(sent);
        body.extend_from_slice(b"\"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--b0--\r\n");

        let answer = desk.raw(&post_form(&body)).await;

        assert_eq!(answer.status(), 202, "{answer:?}");
        let input = &answer.body()["input"];
        assert_eq!(input["filename"].as_str(), kept);
        assert_eq!(input["content_type"], "text/plain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_form_that_is_too_short_is_not_answered_as_a_request() {
    let desk = Desk::open();
    let mut request = post_form(&form(&[(FILE, "abc")])[..40]);
    request.extend_from_slice(
        b"DELETE /api/v1/tasks/0198c0de-0000-7000-8000-000000000000 HTTP/1.1\r\nHost: desk\r\n\r\n",
    );

    let Raw(answer) = desk.raw(&request).await;

    assert!(answer.contains("incomplete-upload"), "{answer}");
    assert!(!answer.contains("task-not-found"), "{answer}");
}
