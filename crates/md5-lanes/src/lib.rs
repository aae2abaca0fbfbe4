#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod kernel;
mod lanes;
mod stream;

pub use kernel::Kernel;
pub use lanes::{Lanes, Piece};
pub use stream::{Digest, Md5};

/// Returns the digests of whole messages, in their order.
///
/// ```
/// let digests = md5_lanes::digest_many(&["abc", "message digest"]);
/// assert_eq!(digests[0].to_string(), "900150983cd24fb0d6963f7d28e17f72");
/// ```
pub fn digest_many<T: AsRef<[u8]>>(messages: &[T]) -> Vec<Digest> {
    Lanes::new().digest_many(messages)
}

/// Returns the digest of one message.
pub fn digest(message: &[u8]) -> Digest {
    let mut stream = Md5::new();
    stream.update(message);
    stream.finish()
}
