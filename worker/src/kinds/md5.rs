//! MD5 of an upload, on a blocking thread.

use std::io::Read;

use md5::{Digest, Md5};
use serde_json::json;
use task_data::blobs::BlobError;
use task_data::kinds::md5::{Input, Md5Digest, Output as Md5Output};
use task_data::life::Life;
use task_data::metrics;
use task_data::store::Claim;
use tokio_util::sync::CancellationToken;

use super::upload::{blocking, corrupt, read_through};
use super::{Output, WorkError};

/// Hashes the upload, and notices if it is not what was taken in.
pub async fn work(
    life: &Life,
    claim: &Claim,
    content: Option<Vec<u8>>,
    stop: CancellationToken,
) -> Result<Output, WorkError> {
    let input: Input = serde_json::from_value(claim.input.clone()).map_err(|_| corrupt())?;
    let digest = match (content, claim.blob_check) {
        (Some(bytes), _) => {
            let size = bytes.len() as u64;
            let digest = blocking(move || Ok(Md5Digest(Md5::digest(&bytes).into()))).await?;
            if size != input.size {
                return Err(corrupt());
            }
            digest
        }
        (None, Some(check)) => {
            let blob = life.stack().blobs.open(claim.id).await?;
            blocking(move || digest_blob(blob, input.size, check, &stop)).await?
        }
        (None, None) => return Err(BlobError::Missing.into()),
    };
    metrics::hashed(input.size);
    Ok(json!(Md5Output::new(digest, input.expected)))
}

fn digest_blob(
    blob: Box<dyn Read + Send>,
    size: u64,
    check: i64,
    stop: &CancellationToken,
) -> Result<Md5Digest, WorkError> {
    let mut md5 = Md5::new();
    read_through(blob, size, check, stop, |bytes| md5.update(bytes))?;
    Ok(Md5Digest(md5.finalize().into()))
}

#[cfg(test)]
mod tests {
    use twox_hash::XxHash3_64;

    use super::*;

    /// The test suite of RFC 1321, appendix A.5.
    const VECTORS: [(&str, &str); 7] = [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f",
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
    ];

    fn blob(bytes: &'static [u8]) -> (Box<dyn Read + Send>, u64, i64) {
        (Box::new(bytes), bytes.len() as u64, XxHash3_64::oneshot(bytes).cast_signed())
    }

    #[test]
    fn digests_are_those_of_rfc_1321() {
        for (text, digest) in VECTORS {
            let (bytes, size, check) = blob(text.as_bytes());

            assert_eq!(
                digest_blob(bytes, size, check, &CancellationToken::new()),
                Ok(digest.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_damaged_blob_is_no_result() {
        let (_, size, check) = blob(b"abc");
        for damaged in [&b"abd"[..], b"ab", b"abcd", b""] {
            let outcome = digest_blob(Box::new(damaged), size, check, &CancellationToken::new());

            assert_eq!(outcome, Err(corrupt()), "{damaged:?}");
        }
    }

    #[test]
    fn work_that_is_told_to_stop_says_nothing() {
        let (bytes, size, check) = blob(b"abc");
        let stop = CancellationToken::new();
        stop.cancel();

        assert_eq!(digest_blob(bytes, size, check, &stop), Err(WorkError::Stopped));
    }
}
