//! A body is the same form, or rejected for the same reason, however it is cut; and a form that was read can be written again.

use actix_web::dev::Payload;
use futures::stream;
use tokio::runtime;

use super::*;

const BOUNDARY: &[u8] = b"b0";

/// A part with its content.
type Whole = (Part, Vec<u8>);

/// Returns the parts of a body, and the reason if it is rejected.
async fn read(pieces: &[&[u8]]) -> (Vec<Whole>, Result<(), String>) {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut body = Body::new(Payload::Stream { payload: Box::pin(stream::iter(pieces)) });
    let (mut form, mut parts) = (MultipartForm::new(&mut body, BOUNDARY), Vec::new());
    let outcome = read_parts(&mut form, &mut parts).await;
    (parts, outcome.map_err(|problem| format!("{problem:?}")))
}

async fn read_parts(form: &mut MultipartForm<'_>, parts: &mut Vec<Whole>) -> Result<(), Problem> {
    while let Some(part) = form.part().await? {
        let mut content = Vec::new();
        while let Some(bytes) = form.data().await? {
            content.extend_from_slice(&bytes);
        }
        parts.push((part, content));
    }
    Ok(())
}

/// Writes a form as careful clients do.
fn written(parts: &[Whole]) -> Vec<u8> {
    let mut body = Vec::new();
    for (Part { name, filename, content_type }, content) in parts {
        body.extend(b"--b0\r\nContent-Disposition: form-data; name=");
        body.extend(quoted(name));
        if let Some(filename) = filename {
            body.extend(b"; filename=");
            body.extend(quoted(filename));
        }
        if let Some(content_type) = content_type {
            body.extend(b"\r\nContent-Type: ");
            body.extend(content_type);
        }
        body.extend(b"\r\n\r\n");
        body.extend(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--b0--\r\n");
    body
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// Returns a file whose name is the input, up to what would end a head.
fn named(input: &[u8]) -> Whole {
    let end = memmem::find(input, b"\r\n\r\n").unwrap_or(input.len());
    (
        Part { name: b"file".to_vec(), filename: Some(input[..end].to_vec()), content_type: None },
        b"x".to_vec(),
    )
}

/// An extended file name may hold the end of a head, which no quotes keep.
fn can_be_written((part, _): &Whole) -> bool {
    part.filename.as_ref().is_none_or(|name| memmem::find(name, b"\r\n\r\n").is_none())
}

#[test]
fn a_body_is_the_same_form_however_it_is_cut_and_when_it_is_written_again() {
    test_kit::fuzz!("forms", |input: &[u8]| {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let whole = read(&[input]).await;
            for pieces in [input.chunks(1).collect(), test_kit::cut(input)] {
                assert_eq!(read(&pieces).await, whole, "{pieces:?}");
            }

            let (parts, outcome) = &whole;
            if outcome.is_ok() && parts.iter().all(can_be_written) {
                assert_eq!(read(&[&written(parts)]).await, whole);
            }
            let named = [named(input)];
            assert_eq!(read(&[&written(&named)]).await, (named.into(), Ok(())));
        });
    });
}
