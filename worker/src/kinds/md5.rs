//! The work of kind `md5`: the MD5 of an upload.

use serde_json::json;
use task_data::blobs::{BlobError, Blobs};
use task_data::kinds::md5::{Input, Md5Digest, Output as Md5Output};
use task_data::metrics;
use task_data::store::Claim;
use tokio_util::sync::CancellationToken;

use super::checked_blob::{CheckedBlob, corrupt};
use crate::hashing::{Hashing, Source};
use crate::work::{Output, WorkError};

/// The size in bytes up to which an upload is hashed at once, because passing it to another thread takes longer.
pub const AT_ONCE: i64 = 16 << 10;

/// Hashes an upload from its row on this thread.
pub fn at_once(input: &Input, content: &[u8]) -> Result<Output, WorkError> {
    if content.len() as u64 != input.size {
        return Err(corrupt());
    }
    Ok(output(Md5Digest(md5_lanes::digest(content).0), input))
}

fn output(digest: Md5Digest, input: &Input) -> Output {
    metrics::hashed(input.size);
    json!(Md5Output::new(digest, input.expected))
}

/// Hashes the upload, and detects whether it differs from the one taken in.
pub async fn work(
    blobs: &dyn Blobs,
    hashing: &Hashing,
    claim: &Claim,
    input: Input,
    content: Option<Vec<u8>>,
    stop: CancellationToken,
) -> Result<Output, WorkError> {
    let source = match (content, claim.blob_check) {
        (Some(bytes), _) if bytes.len() <= AT_ONCE as usize => return at_once(&input, &bytes),
        (Some(bytes), _) if bytes.len() as u64 == input.size => Source::Content(bytes),
        (Some(_), _) => return Err(corrupt()),
        (None, Some(check)) => {
            let blob = blobs.open(claim.id).await?;
            Source::Blob(Box::new(CheckedBlob::new(blob, input.size, check)))
        }
        (None, None) => return Err(BlobError::Missing.into()),
    };
    Ok(output(hashing.digest(source, stop).await?, &input))
}
