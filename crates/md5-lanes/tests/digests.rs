//! Each kernel gives the digests of RFC 1321 and of the `md-5` crate, whatever streams are cut into and however long they are.

use md5::Digest as _;
use md5_lanes::{Digest, Kernel, Lanes, Md5, Piece, digest, digest_many};
use proptest::collection::vec;
use proptest::prelude::*;
use test_kit::RFC_1321;

fn expected(message: &[u8]) -> Digest {
    Digest(md5::Md5::digest(message).into())
}

fn each_kernel() -> impl Iterator<Item = Lanes> {
    Kernel::available().filter_map(Lanes::with)
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
        RFC_1321.map(|(message, hex)| (message, hex.to_owned())).into_iter().unzip();

    for lanes in each_kernel() {
        let told: Vec<String> = lanes.digest_many(&messages).iter().map(Digest::to_string).collect();
        assert_eq!(told, digests, "{lanes:?}");
    }
    assert_eq!(digest(b"abc").to_string(), RFC_1321[2].1);
    assert_eq!(digest_many(&["abc"])[0].to_string(), RFC_1321[2].1);
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

/// More than 2³² bits, of which the padding tells: 512 MiB and a little, from one buffer.
#[test]
fn a_stream_of_more_than_2_to_the_32_bits_is_right() {
    let piece = noise(1, 8 << 20);
    let mut reference = md5::Md5::new();
    let mut streams = [const { Md5::new() }; 3];
    for _ in 0..64 {
        reference.update(&piece);
        Lanes::new().run(streams.iter_mut().map(|stream| Piece::next(stream, &piece)));
    }
    reference.update(b"and a little");
    let mut digests = [Digest::default(); 3];

    let ends = streams.iter_mut().zip(&mut digests);
    Lanes::new().run(ends.map(|(stream, digest)| Piece::last(stream, b"and a little", digest)));

    assert_eq!(digests, [Digest(reference.finalize().into()); 3]);
}

/// A stream, and where it is cut.
fn streams() -> impl Strategy<Value = Vec<(usize, Vec<usize>)>> {
    let length = prop_oneof![0..300_usize, 0..5000_usize, Just(55), Just(56), Just(63), Just(64), Just(119)];
    vec((length, vec(0..5000_usize, 0..6)), 0..80)
}

proptest! {
    /// Every kernel, streams of any lengths, cut anywhere, empty pieces among them, in any order of pieces.
    #[test]
    fn cuts_make_no_difference(streams in streams(), rotation in 0..80_usize) {
        let messages: Vec<Vec<u8>> =
            streams.iter().enumerate().map(|(seed, (length, _))| noise(seed, *length)).collect();
        let expected: Vec<Digest> = messages.iter().map(|message| expected(message)).collect();
        let mut cut: Vec<Vec<&[u8]>> = std::iter::zip(&messages, &streams)
            .map(|(message, (length, cuts))| {
                let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (length + 1)).collect();
                ends.sort_unstable();
                let begins = std::iter::once(0).chain(ends.clone());
                begins.zip(ends.iter().copied().chain([*length])).map(|(begin, end)| &message[begin..end]).collect()
            })
            .collect();
        cut.iter_mut().for_each(|pieces| pieces.reverse());

        for lanes in each_kernel() {
            let mut digests = vec![Digest::default(); messages.len()];
            let mut running = vec![Md5::new(); messages.len()];
            let mut left = cut.clone();
            while left.iter().any(|pieces| !pieces.is_empty()) {
                let mut pieces: Vec<Piece<'_>> = running
                    .iter_mut()
                    .zip(&mut digests)
                    .zip(&mut left)
                    .filter_map(|((stream, digest), pieces)| {
                        let piece = pieces.pop()?;
                        Some(if pieces.is_empty() { Piece::last(stream, piece, digest) } else { Piece::next(stream, piece) })
                    })
                    .collect();
                let middle = rotation % pieces.len();
                pieces.rotate_left(middle);
                lanes.run(pieces);
            }
            prop_assert_eq!(&digests, &expected, "{:?}", lanes);
            // Each stream has begun anew.
            for stream in &mut running {
                prop_assert_eq!(stream.finish(), digest(b""));
            }
        }
    }

    /// A stream by itself.
    #[test]
    fn a_lone_stream_may_be_cut_anywhere(pieces in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let mut stream = Md5::new();
        pieces.iter().for_each(|piece| stream.update(piece));
        prop_assert_eq!(stream.finish(), expected(&pieces.concat()));
    }
}
