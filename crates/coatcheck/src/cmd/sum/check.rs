//! `coatcheck sum -c`: compares files with a manifest that lists them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use md5_lanes::Digest;
use program::standard_input;

use super::engine::{Done, hash};
use super::jobs::Listed;
use super::manifest::{Line, Lines};
use super::output::{Output, complain, progress_bar, say};
use super::total_size;
use crate::md5sum::{quoted, verdict};

/// Returns whether a manifest could be read and all files that it lists match it.
pub fn check(manifest: &OsStr) -> bool {
    let shown = if manifest == "-" { "'standard input'".to_owned() } else { quoted(manifest) };
    let text = match read(manifest) {
        Ok(text) => text,
        Err(error) if manifest == "-" || error.kind() == io::ErrorKind::IsADirectory => {
            say(&format!("{shown}: read error"));
            return false;
        }
        Err(error) => {
            complain(manifest, &error);
            return false;
        }
    };
    let (listed, improper) = listed(&text, manifest == "-");
    if listed.is_empty() {
        say(&format!("{shown}: no properly formatted checksum lines found"));
        return false;
    }

    let (digests, names): (Vec<Digest>, Vec<OsString>) = listed.into_iter().unzip();
    let bar = progress_bar(|| Some(total_size(&names)));
    let counts = Counts::default();
    let output = Output::new(true, bar, |done: &Done| Some(counts.line(done, &digests)));
    hash(&Listed::new(names), &output);

    let are_read = output.finish();
    let (unread, unequal) = (counts.unread.load(Relaxed), counts.unequal.load(Relaxed));
    warn(improper, "line is improperly formatted", "lines are improperly formatted");
    warn(unread, "listed file could not be read", "listed files could not be read");
    warn(unequal, "computed checksum did NOT match", "computed checksums did NOT match");
    are_read && unequal == 0
}

/// Counts of files that do not match the manifest.
#[derive(Default)]
struct Counts {
    unread: AtomicUsize,
    unequal: AtomicUsize,
}

impl Counts {
    fn line(&self, done: &Done, digests: &[Digest]) -> Vec<u8> {
        let told = match &done.digest {
            Ok(digest) if *digest == digests[done.job.number] => "OK",
            Ok(_) => {
                self.unequal.fetch_add(1, Relaxed);
                "FAILED"
            }
            Err(_) => {
                self.unread.fetch_add(1, Relaxed);
                "FAILED open or read"
            }
        };
        verdict(&done.job.name, told)
    }
}

fn read(manifest: &OsStr) -> io::Result<Vec<u8>> {
    if manifest != "-" {
        return std::fs::read(manifest);
    }
    let mut text = Vec::new();
    standard_input()?.lock().read_to_end(&mut text)?;
    Ok(text)
}

/// Returns the listed files, and the number of improper lines.
fn listed(text: &[u8], is_stdin: bool) -> (Vec<(Digest, OsString)>, usize) {
    let mut lines = Lines::default();
    let (mut listed, mut improper) = (Vec::new(), 0);
    for line in text.split(|byte| *byte == b'\n') {
        match lines.read(line) {
            // Standard input is being read as the manifest already.
            Line::Listed(_, name) if is_stdin && name == "-" => improper += 1,
            Line::Listed(digest, name) => listed.push((digest, name)),
            Line::Nothing => {}
            Line::Improper => improper += 1,
        }
    }
    (listed, improper)
}

fn warn(count: usize, one: &str, more: &str) {
    if count > 0 {
        say(&format!("WARNING: {count} {}", if count == 1 { one } else { more }));
    }
}
