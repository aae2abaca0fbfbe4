//! `coatcheck sum -c`: compares files with a manifest that lists them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};

use md5_lanes::Digest;
use program::standard_input;

use super::console::Console;
use super::engine::{Done, hash};
use super::jobs::Listed;
use super::manifest::{Line, Lines};
use super::output::{Output, progress_bar};
use super::quote::quoted;
use super::{SumArgs, total_size};
use crate::md5sum::verdict;

/// Returns whether a manifest could be read and files match it as these arguments ask for. `lines` has read the manifests before it.
pub fn check(manifest: &OsStr, args: &SumArgs, lines: &mut Lines, console: &mut Console) -> bool {
    let is_input = manifest == "-";
    console.has_read_input |= is_input;
    let mut text = Vec::new();
    let read = match is_input {
        true => standard_input().and_then(|input| input.lock().read_to_end(&mut text)),
        false => match File::open(manifest) {
            Ok(mut file) => file.read_to_end(&mut text),
            Err(error) => {
                console.complain(manifest, &error);
                return false;
            }
        },
    };
    let shown = if is_input { "'standard input'".to_owned() } else { quoted(manifest) };
    let (listed, improper) = listed(&text, is_input, lines);
    let is_listed = !listed.is_empty();
    let (digests, names): (Vec<Digest>, Vec<OsString>) = listed.into_iter().unzip();
    console.has_read_input |= names.iter().any(|name| name == "-");

    let mut improper_left = improper.iter().filter(|_| args.warn).peekable();
    let mut warn_up_to = |number: usize, console: &mut Console| {
        while let Some(line) = improper_left.next_if(|line| line.before <= number) {
            console.say(format!("{shown}: {}: improperly formatted MD5 checksum line", line.number));
        }
    };
    let mut counts = Counts::default();
    if is_listed {
        let bar = progress_bar(console.called, || Some(total_size(&names)));
        let output = Output::new(console, true, bar, |done: &Done, console: &mut Console| {
            warn_up_to(done.job.number, console);
            counts.report(done, &digests[done.job.number], args, console);
        });
        hash(&Listed::new(names), &output);
        output.finish();
    }
    warn_up_to(usize::MAX, console);

    if read.is_err() {
        console.say(format!("{shown}: read error"));
        return false;
    }
    if !is_listed {
        console.say(format!("{shown}: no properly formatted checksum lines found"));
        return false;
    }
    if !args.status {
        let mut warn = |count: usize, one: &str, more: &str| match count {
            0 => {}
            1 => console.say(format!("WARNING: 1 {one}")),
            count => console.say(format!("WARNING: {count} {more}")),
        };
        warn(improper.len(), "line is improperly formatted", "lines are improperly formatted");
        warn(counts.unread, "listed file could not be read", "listed files could not be read");
        warn(counts.unequal, "computed checksum did NOT match", "computed checksums did NOT match");
        if args.ignore_missing && counts.equal == 0 {
            console.say(format!("{shown}: no file was verified"));
        }
    }
    let is_proper = !args.strict || improper.is_empty();
    counts.equal > 0 && counts.unequal == 0 && counts.unread == 0 && is_proper
}

/// Counts of the listed files.
#[derive(Default)]
struct Counts {
    equal: usize,
    unequal: usize,
    unread: usize,
}

impl Counts {
    fn report(&mut self, done: &Done, expected: &Digest, args: &SumArgs, console: &mut Console) {
        let name = &done.job.name;
        let (count, told) = match &done.digest {
            Ok(digest) if digest == expected => (&mut self.equal, "OK"),
            Ok(_) => (&mut self.unequal, "FAILED"),
            Err(error) if args.ignore_missing && is_missing(error) => return,
            Err(error) => {
                console.complain(name, error);
                (&mut self.unread, "FAILED open or read")
            }
        };
        *count += 1;
        let is_said = told != "OK" || !args.quiet;
        if is_said && !args.status {
            console.print(&verdict(name, told));
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENOENT)
}

/// A line that lists no file and is not a comment.
struct Improper {
    /// The number of files that are listed before it.
    before: usize,
    /// Its number, from 1.
    number: usize,
}

/// Returns the listed files, and the improper lines.
fn listed(text: &[u8], is_input: bool, lines: &mut Lines) -> (Vec<(Digest, OsString)>, Vec<Improper>) {
    let (mut listed, mut improper) = (Vec::new(), Vec::new());
    for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        match lines.read(line.strip_suffix(b"\n").unwrap_or(line)) {
            // Standard input is being read as the manifest already.
            Line::Listed(digest, name) if !(is_input && name == "-") => listed.push((digest, name)),
            Line::Listed(..) | Line::Improper => improper.push(Improper { before: listed.len(), number }),
            Line::Nothing => {}
        }
    }
    (listed, improper)
}
