//! Tests of uploads that are hashed side by side.

use std::io::{self, Read};
use std::sync::mpsc;

use futures::future::{join_all, try_join_all};
use md5::Digest as _;
use task_data::blobs::BlobReader;
use test_kit::RFC_1321;
use twox_hash::XxHash3_64;

use super::*;
use crate::kinds::checked_blob::corrupt;

/// A blob of which some bytes are ready and others need a wait.
struct Blob {
    bytes: io::Cursor<Vec<u8>>,
    /// The length of alternating parts that are ready and not ready.
    ready: u64,
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl BlobReader for Blob {
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let position = self.bytes.position();
        let is_ready = position.checked_div(self.ready)? % 2 == 0;
        let ready = usize::try_from(self.ready - position % self.ready).unwrap();
        let length = buffer.len().min(ready);
        is_ready.then(|| self.bytes.read(&mut buffer[..length]).unwrap())
    }
}

/// Blobs defined by functions instead of bytes.
struct Odd<R, F>(R, F);

impl<R: FnMut(&mut [u8]) -> io::Result<usize>, F> Read for Odd<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0(buffer)
    }
}

impl<R, F> BlobReader for Odd<R, F>
where
    R: FnMut(&mut [u8]) -> io::Result<usize> + Send,
    F: FnMut(&mut [u8]) -> Option<usize> + Send,
{
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.1(buffer)
    }
}

/// Creates a blob that was taken in as `bytes` and has changed to `content`.
fn blob_of(bytes: &[u8], content: &[u8], ready: u64) -> Source {
    let blob = Box::new(Blob { bytes: io::Cursor::new(content.to_vec()), ready });
    let check = XxHash3_64::oneshot(bytes).cast_signed();
    Source::Blob(Box::new(CheckedBlob::new(blob, bytes.len() as u64, check)))
}

fn odd(
    read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
    ready: impl FnMut(&mut [u8]) -> Option<usize> + Send + 'static,
) -> Source {
    Source::Blob(Box::new(CheckedBlob::new(Box::new(Odd(read, ready)), 0, 0)))
}

fn noise(number: usize, length: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(number as u64);
    std::iter::repeat_with(|| dice.u8(..)).take(length).collect()
}

fn expected(bytes: &[u8]) -> Md5Digest {
    Md5Digest(md5::Md5::digest(bytes).into())
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

#[tokio::test]
async fn digests_are_those_of_rfc_1321() {
    let hashing = Hashing::new(2);
    for (text, digest) in RFC_1321 {
        let digest: Md5Digest = digest.parse().unwrap();
        let content = Source::Content(text.as_bytes().to_vec());

        assert_eq!(hashing.digest(content, never()).await, Ok(digest), "{text}");
        for ready in [0, 1, 7, 100] {
            let blob = blob_of(text.as_bytes(), text.as_bytes(), ready);
            assert_eq!(hashing.digest(blob, never()).await, Ok(digest), "{text}, {ready}");
        }
    }
}

#[tokio::test]
async fn many_at_once_each_have_their_own_digest() {
    for threads in [1, 3] {
        let hashing = Hashing::new(threads);
        let contents: Vec<Vec<u8>> = (0..300)
            .map(|number| {
                let length = match number % 5 {
                    0 => number,
                    1 => PIECE - 3 + number / 50,
                    2 => number * 1000,
                    3 => ROUND / hashing.0.lanes.width() * (number / 50),
                    _ => number * 50,
                };
                noise(number, length)
            })
            .collect();

        let digests = contents.iter().enumerate().map(|(number, content)| {
            let ready = [0, 1000, 4096, 100_000, u64::MAX][number % 5];
            let source = if number % 4 == 0 {
                Source::Content(content.clone())
            } else {
                blob_of(content, content, ready)
            };
            hashing.digest(source, never())
        });
        let digests = try_join_all(digests).await.unwrap();

        let expected: Vec<Md5Digest> = contents.iter().map(|content| expected(content)).collect();
        assert_eq!(digests, expected);
    }
}

#[tokio::test]
async fn a_damaged_blob_is_no_result() {
    let hashing = Hashing::new(1);
    for damaged in [&b"abd"[..], b"ab", b"abcd", b""] {
        for ready in [0, 2, 100] {
            let digest = hashing.digest(blob_of(b"abc", damaged, ready), never()).await;

            assert_eq!(digest, Err(corrupt()), "{damaged:?}, {ready}");
        }
    }
}

#[tokio::test]
async fn work_that_is_told_to_stop_says_nothing() {
    let stop = never();
    stop.cancel();

    let digest = Hashing::new(1).digest(blob_of(b"abc", b"abc", 100), stop).await;

    assert_eq!(digest, Err(WorkError::Stopped));
}

#[tokio::test]
async fn a_blob_that_can_not_be_read_is_tried_again() {
    let failing = odd(|_| Err(io::Error::other("no disk")), |_| None);

    let digest = Hashing::new(1).digest(failing, never()).await;

    assert!(matches!(digest, Err(WorkError::Later(error)) if error.code == "io"));
}

#[tokio::test]
async fn a_blob_without_end_holds_up_no_other() {
    let hashing = Hashing::new(1);
    let stop = never();
    let endless = hashing.digest(odd(|_| Ok(0), |buffer| Some(buffer.len())), stop.clone());
    let others = async {
        for number in 0..100 {
            let content = noise(number, number * 1000);
            let digest = hashing.digest(blob_of(&content, &content, u64::MAX), never()).await;
            assert_eq!(digest, Ok(expected(&content)));
        }
        stop.cancel();
    };

    let (endless, ()) = futures::join!(endless, others);

    assert_eq!(endless, Err(WorkError::Stopped));
}

#[tokio::test]
async fn reads_that_hang_hold_up_no_other() {
    let hashing = Hashing::new(1);
    let count = 2 * Hashing::lanes();
    let (releases, hanging): (Vec<mpsc::Sender<()>>, Vec<Source>) = (0..count)
        .map(|_| {
            let (release, released) = mpsc::channel();
            let read = move |_: &mut [u8]| released.recv().map(|()| 0).map_err(io::Error::other);
            (release, odd(read, |_| None))
        })
        .unzip();
    let hanging = join_all(hanging.into_iter().map(|source| hashing.digest(source, never())));
    let others = async {
        for number in 0..100 {
            let content = noise(number, number * 1000);
            let digest = hashing.digest(blob_of(&content, &content, 50_000), never()).await;
            assert_eq!(digest, Ok(expected(&content)));
        }
        drop(releases);
    };

    let (hanging, ()) = futures::join!(hanging, others);

    assert!(
        hanging.iter().all(|digest| matches!(digest, Err(WorkError::Later(error)) if error.code == "io"))
    );
}

#[tokio::test]
async fn a_panic_is_tried_again_and_the_next_ones_are_hashed() {
    let hashing = Hashing::new(1);
    for panicking in [odd(|_| panic!("a test's"), |_| None), odd(|_| Ok(0), |_| panic!("a test's"))] {
        let digest = hashing.digest(panicking, never()).await;
        assert!(matches!(digest, Err(WorkError::Later(error)) if error.code == "internal"));

        let digest = hashing.digest(Source::Content(b"abc".to_vec()), never()).await;
        assert_eq!(digest, Ok(expected(b"abc")));
    }
}
