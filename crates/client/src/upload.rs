//! Hands a file in: its name, and its bytes as a stream that can begin anew.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use futures::stream;
use parking_lot::Mutex;
use program::standard_input;
use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::answers::{self, AsSent, Task};
use crate::calls::{self, IDEMPOTENCY_KEY};
use crate::client::Client;
use crate::error::ClientError;
use crate::meter::Meter;

/// The name of standard input.
pub const STDIN: &str = "-";
/// Bytes that are read at once. A shorter file is sent from memory.
const CHUNK: usize = 256 * 1024;
/// The most bytes of a file name, for the server and for most file systems.
const LONGEST_NAME: usize = 255;
/// The longest extension, in bytes, that is kept when a name has to be shortened.
const LONGEST_EXTENSION: usize = 16;

impl Client {
    /// Hands a file in under an idempotency key; returns its task, whose id is the ticket.
    ///
    /// The file is streamed, whatever its size. `path` may also be a pipe, a device, or `-` for standard input; `name` is the file name for
    /// the server, if it is not the path's own.
    ///
    /// # Errors
    /// If the file can't be read, the server rejects it, or the server accepts nothing for a minute. [`ClientError::OtherContent`] if the
    /// key stands for another content.
    ///
    /// # Cancel safety
    /// If the call is dropped midway, the task may exist or not. A call with the same key finds it.
    pub async fn put(&self, path: &Path, name: Option<&str>, key: Uuid) -> Result<AsSent<Task>, ClientError> {
        let name = sent_name(name.map_or(path, Path::new));
        let mut upload = Upload::open(path).await.map_err(ClientError::Read)?;
        let text = self
            .patiently(async || {
                let body = upload.body(&self.meter).await.map_err(ClientError::Read)?;
                let Some(Body { stream, len, sent, fault }) = body else { return Err(ClientError::ReadOnce) };
                let request = self.request(&calls::PUT_FILE, &[&name], &[]);
                let mut request = request.header(IDEMPOTENCY_KEY, key.to_string());
                if let Some(bytes) = len {
                    request = request.header(CONTENT_LENGTH, bytes);
                }
                let answer = self.answer(request.body(stream), &sent).await;
                // reqwest reports a reader's error only as "the request failed"; the reader's own words are better.
                let answer = fault.take().map_or(answer, |fault| Err(ClientError::Read(fault)));
                if answer.is_err() {
                    self.meter.take_back(sent.load(Relaxed));
                }
                answer
            })
            .await?;
        answers::read(&text).ok_or_else(|| self.foreign(StatusCode::ACCEPTED))
    }
}

/// An open file whose first bytes were read.
struct Upload {
    path: PathBuf,
    /// The first bytes: all of them, if `rest` was always `None`.
    head: Bytes,
    is_whole: bool,
    rest: Option<Rest>,
}

/// The part of the file after the head.
struct Rest {
    file: File,
    /// `None` if only the end will tell: a pipe, or a file that doesn't know its size (`/proc`).
    left: Option<u64>,
}

/// The body of one try.
struct Body {
    stream: reqwest::Body,
    len: Option<u64>,
    /// Bytes handed over so far.
    sent: Arc<AtomicU64>,
    fault: Fault,
}

/// The error of the reader, if one cut the stream short.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    fn take(&self) -> Option<io::Error> {
        self.0.lock().take()
    }

    /// Keeps the error and returns a copy for the stream.
    fn keep(&self, error: io::Error) -> io::Error {
        let copy = io::Error::from(error.kind());
        *self.0.lock() = Some(error);
        copy
    }
}

impl Upload {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    async fn open(path: &Path) -> io::Result<Self> {
        let mut file = match path.as_os_str() == STDIN {
            // Not /dev/stdin, which would open the file anew, from its beginning, and can't open a socket.
            true => File::from_std(standard_input()?.as_fd().try_clone_to_owned()?.into()),
            false => File::open(path).await?,
        };
        let mut head = Vec::new();
        (&mut file).take(CHUNK as u64).read_to_end(&mut head).await?;
        let read = head.len() as u64;
        let is_whole = head.len() < CHUNK;
        let mut rest = None;
        if !is_whole {
            // The size is that of now, even if the file grows; a file in `/proc` says 0.
            let metadata = file.metadata().await?;
            // Standard input may be at any position of its file.
            let is_whole_file = metadata.is_file() && path.as_os_str() != STDIN;
            let left = metadata.len().checked_sub(read).filter(|_| is_whole_file);
            rest = Some(Rest { file, left });
        }
        Ok(Self { path: path.to_owned(), head: head.into(), is_whole, rest })
    }

    /// Returns the bytes from their beginning; `None` if they can't be read twice.
    async fn body(&mut self, meter: &Arc<Meter>) -> io::Result<Option<Body>> {
        if !self.is_whole && self.rest.is_none() {
            if self.path.as_os_str() == STDIN || !tokio::fs::metadata(&self.path).await?.is_file() {
                return Ok(None);
            }
            *self = Self::open(&self.path).await?;
        }
        let rest = self.rest.take();
        let len = match &rest {
            Some(rest) => rest.left.map(|left| left + self.head.len() as u64),
            None => Some(self.head.len() as u64),
        };
        let sent = Arc::new(AtomicU64::new(0));
        let fault = Fault::default();
        let stream = stream::try_unfold((Some(self.head.clone()), rest), {
            let (meter, sent, fault) = (meter.clone(), sent.clone(), fault.clone());
            move |(head, mut rest)| {
                let (meter, sent, fault) = (meter.clone(), sent.clone(), fault.clone());
                async move {
                    let chunk = match (head, &mut rest) {
                        (Some(head), _) => Ok(head),
                        (None, Some(rest)) => rest.chunk().await,
                        (None, None) => Ok(Bytes::new()),
                    };
                    let chunk = chunk.map_err(|error| fault.keep(error))?;
                    sent.fetch_add(chunk.len() as u64, Relaxed);
                    meter.add(chunk.len() as u64);
                    Ok::<_, io::Error>((!chunk.is_empty()).then_some((chunk, (None, rest))))
                }
            }
        });
        Ok(Some(Body { stream: reqwest::Body::wrap_stream(stream), len, sent, fault }))
    }
}

impl Rest {
    /// Returns the next bytes; empty at the end.
    async fn chunk(&mut self) -> io::Result<Bytes> {
        let want = self.left.map_or(CHUNK as u64, |left| left.min(CHUNK as u64));
        let mut chunk = BytesMut::with_capacity(CHUNK);
        (&mut self.file).take(want).read_buf(&mut chunk).await?;
        if let Some(left) = &mut self.left {
            if chunk.is_empty() && *left > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it became shorter while it was sent",
                ));
            }
            *left = left.saturating_sub(chunk.len() as u64);
        }
        Ok(chunk.freeze())
    }
}

/// Returns the file name for the server: the last segment of the path, as text, in at most 255 bytes.
fn sent_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if name.is_empty() {
        return "file".to_owned();
    }
    shorten(&name)
}

/// Shortens the stem, so that the extension stays.
fn shorten(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= LONGEST_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    };
    let stem = &stem[..stem.floor_char_boundary(LONGEST_NAME - extension.len())];
    format!("{stem}{extension}")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_name_is_the_last_segment_of_the_path() {
        assert_eq!(sent_name(Path::new("/a/b/c.txt")), "c.txt");
        assert_eq!(sent_name(Path::new("a\nb")), "a\nb");
        assert_eq!(sent_name(Path::new(OsStr::from_bytes(b"x/\xffz"))), "\u{fffd}z");
        assert_eq!(sent_name(Path::new("")), "file");
        assert_eq!(sent_name(Path::new("/dev/..")), "file");
    }

    #[test]
    fn a_long_name_keeps_its_extension_and_whole_characters() {
        let long = format!("{}.tar", "é".repeat(300));

        let short = shorten(&long);

        assert_eq!(short.len(), 254);
        assert!(short.ends_with("é.tar"));
    }

    #[test]
    fn a_name_of_255_bytes_stays() {
        let fits = "x".repeat(255);
        assert_eq!(shorten(&fits), fits);
        assert_eq!(shorten(&"x".repeat(256)), fits);
        assert_eq!(shorten(&format!(".{}", "x".repeat(300))).len(), 255);
        assert_eq!(shorten(&format!("a.{}", "x".repeat(300))).len(), 255);
    }

    #[test]
    fn bytes_that_are_not_utf_8_may_need_the_cut() {
        let long = vec![0xff; 255];
        let short = sent_name(Path::new(OsStr::from_bytes(&long)));
        assert_eq!(short, "\u{fffd}".repeat(85));
    }
}
