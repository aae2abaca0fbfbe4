//! Receives an upload, from a form or as a bare body. Its kind decides what becomes of it.

pub mod admission;
pub mod expected;
mod fields;
pub mod filename;
pub mod idempotency;
pub mod multipart;
pub mod part;
pub mod quota;

use accounts::user::UserId;
use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use bytes::Bytes;
use task_data::Intake;
use task_data::idempotency::IdempotencyKey;
use task_data::kinds::md5::Md5Digest;

use crate::app::Api;
use crate::http::body::Body;
use crate::http::permits::Client;
use crate::http::problem::{Code, Problem};
use crate::uploads::admission::Admitted;
use crate::uploads::multipart::{MAX_HEAD, MAX_PARTS, MultipartForm};
use crate::uploads::part::Part;

/// The most bytes of a form's field that is not a file.
const MAX_FIELD: usize = 4 << 10;
/// The most bytes of a media type that is kept, with its parameters: its two names have 127 at most (RFC 6838, 4.2).
const MAX_MEDIA_TYPE: usize = 255;
/// The most bytes of a form's body beside the file.
const AROUND_FILE: u64 = (MAX_PARTS * (MAX_HEAD + MAX_FIELD)) as u64;

/// An upload that has been received whole.
pub struct Upload<'a> {
    pub intake: Intake,
    pub filename: Option<String>,
    pub content_type: Option<String>,
    pub expected: Option<Md5Digest>,
    /// Holds the upload's permit until it has become a task.
    _admitted: Admitted<'a>,
}

/// Receives the one part `file` of a form. `taken` names the fields that the form takes, `begin` makes the destination of the file, and
/// `look` sees the content before it is kept.
///
/// # Errors
/// Any rejection, also by `look`; nothing of the upload remains then.
pub async fn from_form<'a>(
    api: &'a Api,
    owner: Option<UserId>,
    request: &HttpRequest,
    body: &mut Body,
    taken: &[&str],
    begin: impl Fn(Option<IdempotencyKey>) -> Intake,
    mut look: impl FnMut(&[u8]) -> Result<(), Problem>,
) -> Result<Upload<'a>, Problem> {
    let boundary = part::boundary(request.headers())?;
    let mut key = idempotency::key(request.headers())?;
    let mut expected = expected::of_form(request.headers())?;
    let admitted = admit(api, owner, request, AROUND_FILE).await?;
    body.keep_pace_of(admitted.permit());
    let mut admitted = Some(admitted);
    let mut form = MultipartForm::new(body, &boundary);

    let (mut upload, mut slip) = (None, None);
    while let Some(part) = form.part().await? {
        if part.name == b"file" {
            let admitted = admitted.take().ok_or(Code::MultipleFiles)?;
            if let Some(slip) = slip {
                return Err(Code::InvalidMultipart.because(slip));
            }
            let receiver = Receiver { admitted, intake: begin(key.take()) };
            upload = Some(read_file(receiver, &mut form, part, &mut look).await?);
            continue;
        }
        let value = read_field(&mut form).await?;
        if part.name == b"md5" && taken.contains(&"md5") {
            expected = expected::agreed(expected, expected::of_field(&value)?)?;
        } else if slip.is_none() {
            slip = fields::slip(&part, taken);
        }
    }
    let upload = match (upload, slip) {
        (Some(upload), None) => upload,
        (Some(_), Some(slip)) => return Err(Code::InvalidMultipart.because(slip)),
        (None, Some(slip)) => return Err(Code::MissingFile.because(slip)),
        (None, None) => return Err(Code::MissingFile.into()),
    };
    Ok(Upload { expected, ..upload })
}

/// Receives the request's whole body as a file, as `curl -T` sends it.
///
/// # Errors
/// Any rejection; nothing of the upload remains then.
pub async fn from_body<'a>(
    api: &'a Api,
    owner: Option<UserId>,
    request: &HttpRequest,
    name: &str,
    body: &mut Body,
) -> Result<Upload<'a>, Problem> {
    let filename = filename::kept(&filename::unescaped(name))?;
    let content_type =
        request.headers().get(CONTENT_TYPE).map(|value| media_type(value.as_bytes())).transpose()?;
    let key = idempotency::key(request.headers())?;
    let expected = expected::of_file(request.headers())?;
    let admitted = admit(api, owner, request, 0).await?;
    body.keep_pace_of(admitted.permit());
    let mut receiver = Receiver { admitted, intake: api.life.take_in(key) };
    while let Some(chunk) = body.chunk().await? {
        receiver.take(chunk).await?;
    }
    Ok(Upload { expected, ..receiver.upload(filename, content_type) })
}

async fn admit<'a>(
    api: &'a Api,
    owner: Option<UserId>,
    request: &HttpRequest,
    around: u64,
) -> Result<Admitted<'a>, Problem> {
    if api.is_draining() {
        return Err(Code::Overloaded.because("The server is stopping."));
    }
    // The digest could be that of the encoded bytes or of the decoded content.
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Code::UnsupportedMediaType.because("Send the upload without Content-Encoding."));
    }
    // `curl -C -` sends it: the digest would be that of the file's end alone.
    if request.headers().contains_key(CONTENT_RANGE) {
        return Err(Code::PartialUpload.because("Send the upload without Content-Range."));
    }
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    api.admission.admit(owner, Client::of(request, owner), length, around).await
}

async fn read_file<'a>(
    mut receiver: Receiver<'a>,
    form: &mut MultipartForm<'_>,
    part: Part,
    look: &mut impl FnMut(&[u8]) -> Result<(), Problem>,
) -> Result<Upload<'a>, Problem> {
    let filename = filename::kept(part.filename.as_deref().unwrap_or_default())?;
    let content_type = part.content_type.as_deref().map(media_type).transpose()?;
    while let Some(chunk) = form.data().await? {
        look(&chunk)?;
        receiver.take(chunk).await?;
    }
    // A browser sends an empty name and no bytes when the user chose no file.
    if receiver.intake.size() == 0 && part.filename.is_some_and(|name| name.is_empty()) {
        return Err(Code::MissingFile.because("No file was chosen."));
    }
    Ok(receiver.upload(filename, content_type))
}

/// Returns a media type as it is kept: as data, never interpreted.
///
/// # Errors
/// 415 if it is longer than [`MAX_MEDIA_TYPE`], as it is kept.
fn media_type(sent: &[u8]) -> Result<String, Problem> {
    let shown = filename::shown(sent);
    if shown.len() > MAX_MEDIA_TYPE {
        let told = format!("Content-Type: expected at most {MAX_MEDIA_TYPE} bytes, got {}.", sent.len());
        return Err(Code::UnsupportedMediaType.because(told));
    }
    Ok(shown)
}

async fn read_field(form: &mut MultipartForm<'_>) -> Result<Vec<u8>, Problem> {
    let mut value = Vec::new();
    while let Some(chunk) = form.data().await? {
        value.extend_from_slice(&chunk);
        if value.len() > MAX_FIELD {
            let limit = format!("A field that isn't `file` has at most {MAX_FIELD} bytes.");
            return Err(Code::InvalidMultipart.because(limit));
        }
    }
    Ok(value)
}

/// An upload that is being received.
struct Receiver<'a> {
    admitted: Admitted<'a>,
    intake: Intake,
}

impl<'a> Receiver<'a> {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Problem> {
        self.admitted.grow(chunk.len() as u64).await?;
        Ok(self.intake.write(chunk).await?)
    }

    fn upload(self, filename: Option<String>, content_type: Option<String>) -> Upload<'a> {
        Upload { intake: self.intake, filename, content_type, expected: None, _admitted: self.admitted }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    #[test]
    fn a_media_type_that_is_kept_has_at_most_255_bytes() {
        let parameter = |length: usize| format!("text/plain; x={}", "y".repeat(length - 14));
        for (sent, bytes) in [
            (b"text/plain".to_vec(), 10),
            (parameter(255).into_bytes(), 255),
            (b"a\xff\r".to_vec(), 7),
            (vec![0xff; 85], 255),
        ] {
            assert_eq!(media_type(&sent).unwrap().len(), bytes);
        }
        for sent in [parameter(256).into_bytes(), vec![0xff; 86], vec![b'x'; 120_000]] {
            assert_eq!(media_type(&sent).unwrap_err().status_code(), 415);
        }
    }
}
