//! The command line of `sum`, taken as GNU's `getopt_long` takes it: options stand anywhere, in any unambiguous abbreviation, short ones
//! together, up to `--`; the first wrong one ends it. None takes a value. The result is a command line without abbreviations, which clap parses.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, Args, Command};

use super::SumArgs;
use super::console::Called;

/// The options of GNU's `md5sum`, in the order in which its messages list them.
const GNU: [(&str, Option<u8>); 12] = [
    ("check", Some(b'c')),
    ("ignore-missing", None),
    ("quiet", None),
    ("status", None),
    ("warn", Some(b'w')),
    ("strict", None),
    ("tag", None),
    ("zero", Some(b'z')),
    ("binary", Some(b'b')),
    ("text", Some(b't')),
    ("help", None),
    ("version", None),
];

/// A command line that is not for clap.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// It asks for the help, by this flag.
    Help(&'static str),
    /// It asks for the version.
    Version,
    /// It is wrong; why, in GNU's words.
    Misuse(Vec<u8>),
}

/// An option that may be given.
#[derive(Debug, Clone)]
struct Name {
    long: String,
    short: Option<u8>,
}

/// The options that may be given: GNU's alone under its name, and also those that only `coatcheck sum` has.
struct Names {
    gnu: Vec<Name>,
    own: Vec<Name>,
}

impl Names {
    fn of(called: Called) -> Self {
        let gnu = GNU.map(|(long, short)| Name { long: long.to_owned(), short });
        let is_own = |name: &Name| !GNU.iter().any(|(long, _)| *long == name.long);
        let own = match called {
            Called::Md5sum => Vec::new(),
            Called::Coatcheck => {
                let command = SumArgs::augment_args(Command::new("sum"));
                let summary = Name { long: "help".to_owned(), short: Some(b'h') };
                command.get_arguments().filter_map(Name::of).filter(is_own).chain([summary]).collect()
            }
        };
        Self { gnu: gnu.into(), own }
    }

    /// Finds a long option by its name or an abbreviation. An abbreviation of GNU's means the same beside options that only we have.
    fn long(&self, given: &[u8]) -> Result<&Name, Vec<&Name>> {
        let all = || self.gnu.iter().chain(&self.own);
        if let Some(exact) = all().find(|name| name.long.as_bytes() == given) {
            return Ok(exact);
        }
        for names in [&self.gnu, &self.own] {
            let found: Vec<&Name> =
                names.iter().filter(|name| name.long.as_bytes().starts_with(given)).collect();
            match found[..] {
                [] => {}
                [name] => return Ok(name),
                _ => return Err(found),
            }
        }
        Err(Vec::new())
    }

    fn short(&self, given: u8) -> Option<&Name> {
        self.gnu.iter().chain(&self.own).find(|name| name.short == Some(given))
    }
}

impl Name {
    fn of(arg: &Arg) -> Option<Self> {
        let short = arg.get_short().and_then(|short| u8::try_from(short).ok());
        Some(Self { long: arg.get_long()?.to_owned(), short })
    }
}

/// Returns the arguments with each option in full and alone, before `--` and all operands. `stops_at_operand` is what POSIX asks for: all
/// that follows the first operand is one too.
///
/// # Errors
/// If the command line is wrong, or asks for something else than sums.
pub fn in_full(
    called: Called,
    given: impl IntoIterator<Item = OsString>,
    stops_at_operand: bool,
) -> Result<Vec<OsString>, Stop> {
    let names = Names::of(called);
    let (mut given, mut options, mut operands) = (given.into_iter(), Vec::new(), vec!["--".into()]);
    while let Some(argument) = given.next() {
        match argument.as_bytes() {
            b"--" => operands.extend(given.by_ref()),
            [b'-', b'-', long @ ..] => push(&mut options, named(&names, long)?)?,
            [b'-', short @ ..] if !short.is_empty() => {
                for letter in short {
                    let option = names.short(*letter);
                    let unknown = || misuse(&[b"invalid option -- '", &[*letter], b"'"]);
                    push(&mut options, option.ok_or_else(unknown)?)?;
                }
            }
            _ => {
                operands.push(argument);
                if stops_at_operand {
                    operands.extend(given.by_ref());
                }
            }
        }
    }
    options.append(&mut operands);
    Ok(options)
}

/// Finds the option that a long one means.
fn named<'a>(names: &'a Names, given: &[u8]) -> Result<&'a Name, Stop> {
    let mut parts = given.splitn(2, |byte| *byte == b'=');
    let (name, value) = (parts.next().unwrap_or_default(), parts.next());
    let found = names.long(name).map_err(|candidates| {
        if candidates.is_empty() {
            return misuse(&[b"unrecognized option '--", given, b"'"]);
        }
        let possible: Vec<String> = candidates.iter().map(|name| format!(" '--{}'", name.long)).collect();
        misuse(&[b"option '--", given, b"' is ambiguous; possibilities:", possible.concat().as_bytes()])
    })?;
    match value {
        Some(_) => Err(misuse(&[b"option '--", found.long.as_bytes(), b"' doesn't allow an argument"])),
        None => Ok(found),
    }
}

fn push(options: &mut Vec<OsString>, name: &Name) -> Result<(), Stop> {
    match name.long.as_str() {
        "help" => return Err(Stop::Help(if name.short.is_some() { "-h" } else { "--help" })),
        "version" => return Err(Stop::Version),
        // It also means binary, and so contradicts only a `--text` after it.
        "tag" => options.push("--binary".into()),
        _ => {}
    }
    options.push(format!("--{}", name.long).into());
    Ok(())
}

fn misuse(parts: &[&[u8]]) -> Stop {
    Stop::Misuse(parts.concat())
}

/// Returns why these options don't go together, in GNU's words and in the order in which it looks.
pub fn contradiction(args: &SumArgs) -> Option<&'static str> {
    let checks = args.check;
    [
        (args.tag && args.text, "--tag does not support --text mode"),
        (checks && args.zero, "the --zero option is not supported when verifying checksums"),
        (checks && args.tag, "the --tag option is meaningless when verifying checksums"),
        (
            checks && (args.binary || args.text),
            "the --binary and --text options are meaningless when verifying checksums",
        ),
        (
            !checks && args.ignore_missing,
            "the --ignore-missing option is meaningful only when verifying checksums",
        ),
        (!checks && args.status, "the --status option is meaningful only when verifying checksums"),
        (!checks && args.warn, "the --warn option is meaningful only when verifying checksums"),
        (!checks && args.quiet, "the --quiet option is meaningful only when verifying checksums"),
        (checks && args.recursive, "the --recursive option is meaningless when verifying checksums"),
        (!checks && args.strict, "the --strict option is meaningful only when verifying checksums"),
    ]
    .into_iter()
    .find_map(|(is_so, why)| is_so.then_some(why))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn read(called: Called, given: &str, stops_at_operand: bool) -> Result<String, Stop> {
        let given = given.split_whitespace().map(OsString::from);
        let read = in_full(called, given, stops_at_operand)?;
        Ok(read.join(OsStr::new(" ")).into_string().unwrap())
    }

    #[test]
    fn options_are_taken_from_anywhere_and_in_any_short_form() {
        for (given, read_as) in [
            ("", "--"),
            ("a -c b --qui", "--check --quiet -- a b"),
            ("-cw a -- -b --tag", "--check --warn -- a -b --tag"),
            ("- -bz", "--binary --zero -- -"),
            (
                "--i --w --sta --str --z --b --te --ta --ch",
                "--ignore-missing --warn --status --strict --zero --binary --text --binary --tag --check --",
            ),
            ("-r --rec", "--recursive --recursive --"),
        ] {
            assert_eq!(read(Called::Coatcheck, given, false).unwrap(), read_as);
        }
        assert_eq!(read(Called::Md5sum, "-c a -w --x", true).unwrap(), "--check -- a -w --x");
    }

    #[test]
    fn a_wrong_option_is_told_in_the_words_of_getopt() {
        for (given, told) in [
            ("-c --foo=1 --help", "unrecognized option '--foo=1'"),
            ("---", "unrecognized option '---'"),
            ("-cQ", "invalid option -- 'Q'"),
            ("-r", "invalid option -- 'r'"),
            ("--st", "option '--st' is ambiguous; possibilities: '--status' '--strict'"),
            ("--t=1", "option '--t=1' is ambiguous; possibilities: '--tag' '--text'"),
            ("--che=", "option '--check' doesn't allow an argument"),
        ] {
            assert_eq!(read(Called::Md5sum, given, false), Err(Stop::Misuse(told.into())), "{given}");
        }
        assert_eq!(read(Called::Md5sum, "-c --hel --foo", false), Err(Stop::Help("--help")));
        assert_eq!(read(Called::Coatcheck, "-ch", false), Err(Stop::Help("-h")));
        assert_eq!(read(Called::Md5sum, "--v", false), Err(Stop::Version));
    }

    #[test]
    fn each_option_of_md5sum_is_known_to_the_parser() {
        let command = SumArgs::augment_args(Command::new("sum"));
        for (long, short) in GNU.into_iter().filter(|(long, _)| !["help", "version"].contains(long)) {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long)).unwrap();
            assert_eq!(arg.get_short(), short.map(char::from), "{long}");
        }
    }
}
