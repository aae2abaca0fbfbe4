//! Lines that `sum` writes are read back as they were, whatever a manifest contains and whatever a file is called.

use super::*;
use crate::md5sum;

type Listed = (Digest, OsString);

fn listed(manifest: &[u8]) -> Vec<Listed> {
    let mut lines = Lines::default();
    let read = manifest.split(|byte| *byte == b'\n').map(|line| lines.read(line));
    read.filter_map(|line| if let Line::Listed(digest, name) = line { Some((digest, name)) } else { None })
        .collect()
}

fn written(listed: &[Listed]) -> Vec<u8> {
    listed.iter().flat_map(|(digest, name)| md5sum::line(digest, name)).collect()
}

/// Returns as many files as the input has names: each ends with a NUL, which no name contains.
fn named(input: &[u8]) -> Vec<Listed> {
    let names = input.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .zip((0..=255).cycle())
        .map(|(name, number)| (Digest([number; 16]), OsString::from_vec(name.to_owned())))
        .collect()
}

#[test]
fn what_a_manifest_lists_is_read_as_it_was_written() {
    test_kit::fuzz!("manifests", |input: &[u8]| {
        // BSD's form may list a file with an empty name, which can't exist.
        let mut taken = listed(input);
        taken.retain(|(_, name)| !name.is_empty());

        for listed_files in [taken, named(input)] {
            assert_eq!(listed(&written(&listed_files)), listed_files);
        }
    });
}
