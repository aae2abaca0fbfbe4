//! `coatcheck` under the name `md5sum`, and `coatcheck sum`, beside GNU's `md5sum`: generated command lines over generated files and lists,
//! in one folder, with all that a shell can do to the three standard streams.
//!
//! `COATCHECK_SUMS=10000` tries as many, and `COATCHECK_SUMS_SEED=N` begins at that seed; each seed is a case.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::kit::content::{Dice, noise};
use crate::kit::program::output;

/// The cases of an ordinary run.
const CASES: u64 = 120;

#[tokio::test]
async fn nothing_tells_it_from_md5sum() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |value| value.parse().expect("expected a number"))
    };
    let (count, first) = (number("COATCHECK_SUMS", CASES), number("COATCHECK_SUMS_SEED", 0));
    let (mut differing, mut shown) = (0, String::new());
    for seed in first..first + count {
        let folder = TempDir::new().unwrap();
        let case = Case::new(seed, folder.path());

        let expected = case.told_by(Program::Gnu).await;
        let named = case.told_by(Program::Named).await;
        let own = case.told_by(Program::Own).await;

        let differences = [
            (!is_same(&expected, &named)).then_some(("md5sum", &named)),
            (!case.is_alike(&expected, &own)).then_some(("coatcheck sum", &own)),
        ];
        for (name, told) in differences.into_iter().flatten() {
            differing += 1;
            if differing <= 5 {
                shown += &format!("{name}: {case:#?}\nexpected {expected:#?}\ngot {told:#?}\n");
            }
        }
    }
    assert_eq!(differing, 0, "of {count} from seed {first} on:\n{shown}");
}

#[tokio::test]
async fn a_link_of_that_name_is_md5sum() {
    let folder = TempDir::new().unwrap();
    symlink(env!("CARGO_BIN_EXE_coatcheck"), folder.path().join("md5sum")).unwrap();
    for (arguments, status, stdout, stderr) in [
        (&["--vers"][..], 0, "md5sum (Coatcheck ", ""),
        (&["--help", "--nonsense"], 0, "Usage: md5sum [OPTION]... [FILE]...\n", ""),
        (&["--", "-"], 0, "d41d8cd98f00b204e9800998ecf8427e  -\n", ""),
        (&["missing"], 1, "", "md5sum: missing: No such file or directory\n"),
        (&["-r", "."], 1, "", "md5sum: invalid option -- 'r'\nTry 'md5sum --help' for more information.\n"),
    ] {
        let mut command = Command::new("./md5sum");
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());

        let done = output(command).await;

        let told = String::from_utf8(done.stdout).unwrap();
        assert!(told.starts_with(stdout) && told.is_empty() == stdout.is_empty(), "{arguments:?}: {told}");
        assert_eq!(String::from_utf8(done.stderr).unwrap(), stderr, "{arguments:?}");
        assert_eq!(done.status.code(), Some(status), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_as_it_ends_md5sum() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), "abc").unwrap();
    for shell in ["", "trap '' PIPE; "] {
        let mut told = Vec::new();
        for program in ["md5sum", env!("CARGO_BIN_EXE_coatcheck")] {
            let script = format!(
                r#"{shell}(exec -a md5sum "$0" $(yes a | head -n 50000)) | head -n 1; echo ${{PIPESTATUS[0]}}"#
            );
            let mut command = Command::new("bash");
            command.args(["-c", &script, program]).current_dir(folder.path());
            let done = output(command).await;
            told.push([done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap()));
        }
        assert_eq!(told[0], told[1], "{shell}");
    }
}

/// A program that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Gnu,
    /// Coatcheck, called `md5sum`.
    Named,
    /// `coatcheck sum`.
    Own,
}

/// The outcome of a command.
#[derive(PartialEq, Eq)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<i32>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stdout, stderr, status } = self;
        write!(
            formatter,
            "{status:?}\nout: {}\nerr: {}",
            stdout.escape_ascii().to_string().replace("\\n", "\n     "),
            stderr.escape_ascii().to_string().replace("\\n", "\n     ")
        )
    }
}

/// Returns whether Coatcheck under the name does the same; its help and version are its own.
fn is_same(expected: &Told, told: &Told) -> bool {
    match own_text(expected) {
        Some(begin) => told.stdout.starts_with(begin.as_bytes()) && told.status == expected.status,
        None => told == expected,
    }
}

/// Returns how Coatcheck's help or version begins, if the answer is one of them.
fn own_text(answer: &Told) -> Option<&'static str> {
    let begins = |begin: &str| answer.stdout.starts_with(begin.as_bytes());
    match () {
        () if begins("Usage: md5sum") => Some("Usage: md5sum"),
        () if begins("md5sum (GNU coreutils)") => Some("md5sum (Coatcheck"),
        () => None,
    }
}

/// A command line in a folder.
#[derive(Debug)]
struct Case {
    #[expect(dead_code, reason = "shown where programs differ")]
    seed: u64,
    folder: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, &'static str)>,
    input: PathBuf,
    /// A change that the shell makes to the streams.
    redirection: &'static str,
}

impl Case {
    fn new(seed: u64, folder: &Path) -> Self {
        let mut dice = Dice::new(seed);
        let mut files = Files { dice: &mut dice, folder, names: Vec::new(), listed: Vec::new() };
        files.make();
        let lists: Vec<OsString> = ["list", "more lists"].map(|name| files.list(name)).into();
        let names = files.names;

        let is_check = dice.below(100) < 60;
        let mut operands = Vec::new();
        for _ in 0..dice.below(4) + u64::from(dice.below(8) > 0) {
            let pool = if is_check && dice.below(8) > 0 { &lists } else { &names };
            operands.push(match dice.below(16) {
                0 | 1 => "-".into(),
                2 if dice.below(2) == 0 => OsString::new(),
                _ => one(&mut dice, pool).clone(),
            });
        }
        let mut arguments = operands;
        for option in options(&mut dice, is_check) {
            let at = dice.below(arguments.len() as u64 + 1) as usize;
            arguments.insert(at, OsStr::from_bytes(option).into());
        }
        let mut variables = vec![*one(
            &mut dice,
            &[("LC_ALL", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("X", "")],
        )];
        if dice.below(10) == 0 {
            variables.push(("POSIXLY_CORRECT", ""));
        }
        let input = match dice.below(8) {
            0 => "/dev/null".into(),
            1 => folder.into(),
            2 => folder.join("input"),
            _ => folder.join(one(&mut dice, &lists)),
        };
        fs::write(folder.join("input"), noise(seed, 70_000)).unwrap();
        let redirection = match dice.below(20) {
            0..=5 => "2>&1",
            6 => "<&-",
            7 => ">&-",
            8 => "2>&-",
            9 => ">/dev/full",
            10 => "2>/dev/full",
            11 => ">&- 2>&-",
            12 => ">/dev/full 2>&1",
            _ => "",
        };
        Self { seed, folder: folder.into(), arguments, variables, input, redirection }
    }

    async fn told_by(&self, program: Program) -> Told {
        let ours = env!("CARGO_BIN_EXE_coatcheck");
        let (path, name) = match program {
            Program::Gnu => ("md5sum", "md5sum"),
            Program::Named => (ours, "md5sum"),
            Program::Own => (ours, "coatcheck"),
        };
        let mut command = Command::new("bash");
        if geteuid().is_root() {
            // Without root's right to read every file.
            command = Command::new("setpriv");
            command.args(["--inh-caps=-all", "--bounding-set=-all", "bash"]);
        }
        let script = format!("exec -a {name} \"$0\" \"$@\" {}", self.redirection);
        command.args(["-c", &script, path]).args((program == Program::Own).then_some("sum"));
        command.args(&self.arguments).current_dir(&self.folder);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(self.variables.iter().copied()).stdin(Stdio::from(File::open(&self.input).unwrap()));
        let done = output(command).await;
        Told { stdout: done.stdout, stderr: done.stderr, status: done.status.code() }
    }

    /// Returns whether `coatcheck sum` does the same under its own name, and tells wrong usage in one line, with its own status.
    fn is_alike(&self, expected: &Told, told: &Told) -> bool {
        if own_text(expected).is_some() {
            return told.status == expected.status && !told.stdout.is_empty();
        }
        // The help and the version that can't be written: of all commands alike.
        let options = self.arguments.iter().take_while(|argument| *argument != "--");
        let is_own = |argument: &str| argument.starts_with("--h") || argument.starts_with("--v");
        if expected.stderr.starts_with(b"md5sum: write error")
            && options.filter_map(|argument| argument.to_str()).any(is_own)
        {
            let told_alike = told.stderr.starts_with(b"coatcheck: standard output could not be written: ");
            return told.status == expected.status && told.stdout.is_empty() && told_alike;
        }
        let said = if self.redirection == "2>&1" { &expected.stdout } else { &expected.stderr };
        let is_told = said.ends_with(b"\nTry 'md5sum --help' for more information.\n");
        let is_lost = said.is_empty() && expected.status == Some(1);
        if (is_told || is_lost) && told.status == Some(2) {
            let (mine, rest) = match self.redirection {
                "2>&1" => (&told.stdout, &told.stderr),
                _ => (&told.stderr, &told.stdout),
            };
            let lines = mine.iter().filter(|byte| **byte == b'\n').count();
            return rest.is_empty()
                && lines == usize::from(is_told)
                && (is_lost || mine.starts_with(b"coatcheck: "));
        }
        let ours = |text: &[u8]| {
            let lines = text.split_inclusive(|byte| b"\n\0".contains(byte));
            lines
                .flat_map(|line| match line.strip_prefix(b"md5sum: ") {
                    Some(rest) => [b"coatcheck: ".as_slice(), rest].concat(),
                    None => line.to_owned(),
                })
                .collect::<Vec<u8>>()
        };
        !is_told
            && told.status == expected.status
            && told.stdout == ours(&expected.stdout)
            && told.stderr == ours(&expected.stderr)
    }
}

/// Returns options, most of which go together.
fn options(dice: &mut Dice, is_check: bool) -> Vec<&'static [u8]> {
    const SUM: &[&[u8]] =
        &[b"-b", b"--binary", b"-t", b"--te", b"-z", b"--zero", b"--tag", b"--ta", b"-bz", b"--"];
    const WITH_CHECK: &[&[u8]] = &[
        b"--ignore-missing",
        b"--ig",
        b"--quiet",
        b"--q",
        b"--status",
        b"--strict",
        b"--str",
        b"--warn",
        b"-w",
        b"-w",
        b"-cw",
        b"--",
    ];
    const ODD: &[&[u8]] = &[
        b"--foo",
        b"--foo=bar",
        b"-Q",
        b"-cQ",
        b"--st",
        b"--t",
        b"--=x",
        b"---",
        b"--status=1",
        b"--c=",
        b"--he",
        b"--version",
        b"-\xc3\xa9",
        b"--f\xff\n",
        b"-\n",
    ];
    let mut options = Vec::new();
    if is_check {
        options.push(*one(dice, &[b"-c".as_slice(), b"--check", b"--c", b"-cc", b"-c"]));
    }
    let (fitting, other) = if is_check { (WITH_CHECK, SUM) } else { (SUM, WITH_CHECK) };
    for _ in 0..dice.below(4) {
        let pool = match dice.below(30) {
            0 => other,
            1 => ODD,
            _ => fitting,
        };
        options.push(*one(dice, pool));
    }
    options
}

fn one<'a, T>(dice: &mut Dice, pool: &'a [T]) -> &'a T {
    &pool[dice.below(pool.len() as u64) as usize]
}

/// The files of a case.
struct Files<'a> {
    dice: &'a mut Dice,
    folder: &'a Path,
    names: Vec<OsString>,
    /// Their digests, of those that have one.
    listed: Vec<(String, OsString)>,
}

impl Files<'_> {
    fn make(&mut self) {
        fs::create_dir(self.folder.join("folder")).unwrap();
        for _ in 0..1 + self.dice.below(6) {
            let name = self.name();
            let path = self.folder.join(&name);
            if self.names.contains(&name) {
                continue;
            }
            let content = match self.dice.below(8) {
                0 => Vec::new(),
                1 | 2 => b"abc".to_vec(),
                3 => noise(self.dice.roll(), self.dice.below(300_000) as usize),
                _ => noise(self.dice.roll(), self.dice.below(300) as usize),
            };
            let digest = md5_lanes::Lanes::new().digest_many(&[&content])[0].to_string();
            match self.dice.below(20) {
                0 => fs::create_dir(&path).unwrap(),
                1 => symlink("nowhere", &path).unwrap(),
                2 => {}
                kind => {
                    fs::write(&path, content).unwrap();
                    if kind == 3 {
                        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
                    }
                }
            }
            self.listed.push((digest, name.clone()));
            self.names.push(name);
        }
    }

    fn name(&mut self) -> OsString {
        const NAMES: [&[u8]; 34] = [
            b"a",
            b"b.txt",
            b"plain name",
            b" leads",
            b"trails ",
            b"new\nline",
            b"\n",
            b"back\\slash",
            b"\\",
            b"\\n",
            b"carriage\rreturn",
            b"cr\r",
            b"*star",
            b"-dash",
            b"--tag",
            b"it's",
            b"it's \"quoted\"",
            b"$HOME `x`",
            b"#hash",
            b"~",
            b"{",
            b"x}",
            b"a=b",
            b"MD5 (a)",
            b"a) = b",
            b"(b",
            b"tab\there",
            b"\x01\x1b[1m",
            b"a:b",
            "\u{e9}\u{1f9e5}".as_bytes(),
            "\u{202e}\u{200b}\u{85}\u{378}".as_bytes(),
            b"\xff\xfe",
            b"\xc3",
            b"folder/file",
        ];
        let name = match self.dice.below(6) {
            0 => {
                let length = 1 + self.dice.below(12);
                let bytes = (0..length).map(|_| 1 + self.dice.below(255) as u8);
                let mut name: Vec<u8> = bytes.filter(|byte| *byte != b'/').collect();
                if name.first().is_none_or(|byte| b".-".contains(byte)) {
                    name.insert(0, b'x');
                }
                name
            }
            _ => one(self.dice, &NAMES).to_vec(),
        };
        OsString::from_vec(name)
    }

    /// Writes a list of the files, which may be damaged; returns its name.
    fn list(&mut self, name: &str) -> OsString {
        let mut list = Vec::new();
        let form = self.dice.below(8);
        for _ in 0..self.dice.below(7) {
            let (digest, name) = match self.dice.below(12) {
                0 => ("d41d8cd98f00b204e9800998ecf8427e".to_owned(), "-".into()),
                1 => (format!("{:032x}", self.dice.roll()), one(self.dice, &self.names).clone()),
                _ => one(self.dice, &self.listed).clone(),
            };
            let form = if self.dice.below(8) == 0 { self.dice.below(8) } else { form };
            let mut line = line(form, &digest, &name);
            if self.dice.below(10) == 0 {
                damage(self.dice, &mut line);
            }
            let end: &[u8] = match self.dice.below(12) {
                0 => b"\r\n",
                1 => b"\r\r\n",
                _ => b"\n",
            };
            list.extend([&line[..], end].concat());
        }
        match self.dice.below(12) {
            0 => damage(self.dice, &mut list),
            1 => drop(list.pop()),
            2 => list.extend(b"# a comment\n\n\r\nnonsense\n"),
            3 => list.truncate(self.dice.below(list.len() as u64 + 1) as usize),
            _ => {}
        }
        fs::write(self.folder.join(name), list).unwrap();
        name.into()
    }
}

/// Returns a line, without its end.
fn line(form: u64, digest: &str, name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    let is_escaped = name.iter().any(|byte| b"\\\n\r".contains(byte));
    let name: Vec<u8> = name
        .iter()
        .flat_map(|byte| match byte {
            b'\\' => br"\\".to_vec(),
            b'\n' => br"\n".to_vec(),
            b'\r' => br"\r".to_vec(),
            byte => vec![*byte],
        })
        .collect();
    let digest = if form == 7 { digest.to_uppercase() } else { digest.to_owned() };
    let digest = digest.as_bytes();
    let line = match form {
        0 => [digest, b" *", &name].concat(),
        1 => [b"MD5 (".as_slice(), &name, b") = ", digest].concat(),
        2 => [digest, b" ", &name].concat(),
        _ => [digest, b"  ", &name].concat(),
    };
    if is_escaped { [b"\\".as_slice(), &line].concat() } else { line }
}

/// Changes some bytes.
fn damage(dice: &mut Dice, text: &mut Vec<u8>) {
    const PIECES: [&[u8]; 16] = [
        b"\\",
        b" ",
        b"\t",
        b"*",
        b"\r",
        b"\n",
        b"\0",
        b"#",
        b"MD5",
        b"(",
        b") = ",
        b"=",
        b"g",
        b"\xef\xbb\xbf",
        b"MD5 (",
        b"\\n",
    ];
    for _ in 0..=dice.below(3) {
        // Often near the beginning, where most means something.
        let end = if dice.below(2) == 0 { text.len().min(40) } else { text.len() };
        let at = dice.below(end as u64 + 1) as usize;
        let taken = dice.below(3).min((text.len() - at) as u64) as usize;
        let piece = if dice.below(4) == 0 { b"".as_slice() } else { *one(dice, &PIECES) };
        drop(text.splice(at..at + taken, piece.iter().copied()));
    }
}
