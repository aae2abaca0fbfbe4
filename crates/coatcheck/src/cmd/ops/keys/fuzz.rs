//! Whatever a terminal sends is keys, and the same ones however it is cut.

use super::*;

#[test]
fn keys_are_the_same_however_their_bytes_are_cut() {
    test_kit::fuzz!("keys", |input: &[u8]| {
        let (whole, used) = parse(input, true);
        assert_eq!(used, input.len());
        for size in [1, 3] {
            let (mut bytes, mut keys) = (Vec::new(), Vec::new());
            for piece in input.chunks(size) {
                bytes.extend_from_slice(piece);
                let (some, used) = parse(&bytes, false);
                bytes.drain(..used);
                keys.extend(some);
            }
            keys.extend(parse(&bytes, true).0);
            assert_eq!(keys, whole);
        }
    });
}
