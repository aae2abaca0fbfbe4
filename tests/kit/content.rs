//! Contents to upload, with their digests by coreutils' `md5sum`: the product's own code is never the measure.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Returns bytes that look random, the same for the same seed: xorshift64*.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend(dice.roll().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// A source of numbers that look random, the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.roll() >> 16) % bound
    }
}

/// An upload whose digest is known.
#[derive(Clone)]
pub struct Sample {
    pub bytes: Arc<[u8]>,
    pub md5: Arc<str>,
}

impl Sample {
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let md5 = md5sum(&bytes).into();
        Self { bytes, md5 }
    }
}

/// Returns the digest that `md5sum` prints for bytes on its standard input.
pub fn md5sum(bytes: &[u8]) -> String {
    let mut command = Command::new("md5sum");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("md5sum of coreutils is needed");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let printed = child.wait_with_output().unwrap().stdout;
    String::from_utf8(printed).unwrap().split(' ').next().unwrap().to_owned()
}

/// Returns names of files: a thousand plain ones, odd ones, and `dash`, the form in which a name with a leading dash has to be given.
pub fn thousand_and_odd_names(dash: &str) -> Vec<OsString> {
    let mut names: Vec<OsString> = (0..1000).map(|number| format!("file {number}").into()).collect();
    let odd: [&[u8]; 8] = [
        b"with  two spaces ",
        b"new\nline",
        b"back\\slash",
        b"carriage\rreturn",
        b"\\n",
        b"not \xff\xfe UTF-8",
        "é🧥".as_bytes(),
        b"100%25?#&;",
    ];
    names.extend(odd.map(|name| OsString::from_vec(name.to_vec())));
    names.push(dash.into());
    names
}

/// Returns up to `count` regular files below `folder`, none larger than `largest`; links are not followed.
pub fn files_below(folder: &Path, count: usize, largest: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // Folders that vanish or can't be read are skipped.
        let Ok(listing) = fs::read_dir(folder) else { continue };
        let mut listing: Vec<_> = listing.flatten().collect();
        listing.sort_by_key(fs::DirEntry::file_name);
        for file in listing {
            let Ok(metadata) = file.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(file.path());
            } else if metadata.is_file() && metadata.len() <= largest && fs::File::open(file.path()).is_ok() {
                found.push(file.path());
            }
            if found.len() == count {
                return found;
            }
        }
    }
    found
}
