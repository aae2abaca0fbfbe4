//! Each kernel gives the digests of RFC 1321 and of the `md-5` crate, whatever streams are cut into and however long they are.

use md5::Digest as _;
use md5_lanes::{Digest, Kernel, Lanes, Md5, Piece, digest, digest_many};
use proptest::collection::vec;
use proptest::prelude::*;

/// The test suite of RFC 1321, appendix A.5.
const VECTORS: [(&str, &str); 7] = [
    ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ("a", "0cc175b9c0f1b6a831c399e269772661"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
    (
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "57edf4a22be3c955ac49da2e2107b67a",
    ),
];

fn expected(message: &[u8]) -> Digest {
    Digest(md5::Md5::digest(message).into())
}

fn each_kernel() -> impl Iterator<Item = Lanes> {
    Kernel::available().map(|kernel| Lanes::with(kernel).unwrap())
}

/// Bytes that are no pattern to a hash.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn digests_are_those_of_rfc_1321() {
    let (messages, digests): (Vec<&str>, Vec<String>) =
        VECTORS.map(|(message, hex)| (message, hex.to_owned())).into_iter().unzip();

    for lanes in each_kernel() {
        let told: Vec<String> = lanes.digest_many(&messages).iter().map(Digest::to_string).collect();
        assert_eq!(told, digests, "{lanes:?}");
    }
    assert_eq!(digest(b"abc").to_string(), VECTORS[2].1);
    assert_eq!(digest_many(&["abc"])[0].to_string(), VECTORS[2].1);
    assert_eq!(digest_many::<&[u8]>(&[]), []);
}

#[test]
fn every_length_around_the_ends_of_blocks_is_right_in_every_lane() {
    let messages: Vec<Vec<u8>> = (0..330).map(|length| noise(length, length)).collect();
    let digests: Vec<Digest> = messages.iter().map(|message| expected(message)).collect();

    for lanes in each_kernel() {
        // From one lane to more than there are, so that each is idle at times and each is taken again.
        for count in 1..=2 * lanes.width() + 1 {
            for (messages, digests) in messages.chunks(count).zip(digests.chunks(count)) {
                assert_eq!(lanes.digest_many(messages), digests, "{lanes:?}, {count} at once");
            }
        }
    }
    for (message, digest_of_it) in messages.iter().zip(&digests) {
        assert_eq!(digest(message), *digest_of_it);
    }
}
