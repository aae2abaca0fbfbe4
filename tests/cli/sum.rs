//! `coatcheck sum`: what `md5sum` prints, says and returns.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use tempfile::TempDir;

use crate::kit::content::{noise, thousand_and_odd_names};
use crate::kit::program::{coatcheck, output, output_on_terminal};

const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

#[tokio::test]
async fn sum_prints_exactly_what_md5sum_prints() {
    let folder = TempDir::new().unwrap();
    let mut names = thousand_and_odd_names("-dash");
    for (number, name) in names.iter().enumerate() {
        // The first one is empty; some are longer than what is read at once, or just as long.
        let length = match number {
            100..200 => number * 1000,
            200..220 => (number - 199) << 14,
            220..240 => ((number - 219) << 15) - 1,
            500 => 5_000_000,
            _ => number * 3,
        };
        fs::write(folder.path().join(name), noise(number as u64, length)).unwrap();
    }
    names.swap(0, 700);
    names.push("/proc/version".into());

    let told = same_as_md5sum(folder.path(), &arguments(&["--"], &names)).await;

    assert_eq!(told.status.code(), Some(0));
    assert_eq!(told.stdout.iter().filter(|byte| **byte == b'\n').count(), names.len());
}

#[tokio::test]
async fn files_that_can_not_be_read_are_named_and_the_others_are_done() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), "abc").unwrap();
    fs::write(folder.path().join("b"), "").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("secret"), "abc").unwrap();
    fs::set_permissions(folder.path().join("secret"), Permissions::from_mode(0o000)).unwrap();
    let odd: [&[u8]; 6] = [b"it's", b"new\nline", b"", b"\xff", b"a:b", b"b/c"];
    let odd = odd.map(|name| OsString::from_vec(name.to_vec()));
    let names = ["a", "missing", "folder", "secret", "b", "./a"].map(OsString::from);

    let told = same_as_md5sum(folder.path(), &[&names[..], &odd].concat()).await;

    assert_eq!(told.status.code(), Some(1));
    assert_eq!(text(&told.stderr).lines().count(), 3 + odd.len());
    assert!(text(&told.stderr).starts_with("coatcheck: missing: No such file or directory\n"));
}

#[tokio::test]
async fn standard_input_is_read_where_it_is_named_and_where_nothing_is() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), "abc").unwrap();
    for names in [&[][..], &["-"], &["a", "-", "a"], &["-", "-"]] {
        let [told, expected] = outputs_of(folder.path(), &arguments(&[], names), &noise(1, 3_000_000)).await;

        assert_eq!(text(&told.stdout), text(&expected.stdout), "{names:?}");
        assert_eq!(told.status.code(), Some(0));
    }
}

#[tokio::test]
async fn pipes_are_read_one_after_the_other_and_hold_up_no_file() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), noise(1, 100_000)).unwrap();
    for name in ["first", "second"] {
        mkfifo(&folder.path().join(name), Mode::S_IRWXU).unwrap();
    }
    // The second pipe gets nothing before the first was read to its end.
    let mut writer = Command::new("bash");
    writer.args(["-c", "cat file file file > first; cat file > second"]).current_dir(folder.path());
    let mut writer = writer.spawn().unwrap();

    let done = output(coatcheck(folder.path(), ["sum", "first", "second", "file"])).await;

    assert!(writer.wait().unwrap().success());
    let [_, expected] =
        outputs_of(folder.path(), &arguments(&[], &["-", "file", "file"]), &noise(1, 100_000).repeat(3))
            .await;
    let digests = |output: &[u8]| text(output).lines().map(|line| line[..32].to_owned()).collect::<Vec<_>>();
    assert_eq!(digests(&done.stdout), digests(&expected.stdout));
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_without_a_complaint() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), "abc").unwrap();
    let mut command = Command::new("bash");
    let pipe = r#""$0" sum $(yes a | head -n 50000) | head -n 1; echo ${PIPESTATUS[0]}"#;
    command.args(["-c", pipe, env!("CARGO_BIN_EXE_coatcheck")]).current_dir(folder.path());

    let done = output(command).await;

    assert_eq!((text(&done.stdout), text(&done.stderr)), (format!("{ABC}  a\n1\n").as_str(), ""));
}

#[tokio::test]
async fn folders_are_walked() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("some/folder/below")).unwrap();
    fs::create_dir_all(path("locked")).unwrap();
    for number in 0..500 {
        let name = ["some", "some/folder", "some/folder/below"][number % 3];
        fs::write(path(name).join(format!("{number}")), noise(number as u64, number * 100)).unwrap();
    }
    fs::write(path("some/new\nline"), "abc").unwrap();
    fs::write(path("alone"), "abc").unwrap();
    symlink("0", path("some/link")).unwrap();
    symlink("..", path("some/folder/up")).unwrap();
    symlink("some", path("linked")).unwrap();
    mkfifo(&path("some/pipe"), Mode::S_IRWXU).unwrap();
    fs::set_permissions(path("locked"), Permissions::from_mode(0o000)).unwrap();

    for (named, find) in [
        (&["some"][..], "some"),
        (&["./some/"], "./some/"),
        (&["linked/"], "linked/"),
        (&["some/folder", "alone"], "some/folder alone"),
    ] {
        let done = output(unprivileged(coatcheck(folder.path(), [&["sum", "-r"], named].concat()))).await;

        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("find {find} -type f -print0 | xargs -0 md5sum")])
            .current_dir(folder.path());
        let expected = output(command).await;
        assert_eq!(sorted(&done.stdout), sorted(&expected.stdout), "{named:?}");
        assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""), "{named:?}");
    }
    let done =
        output(unprivileged(coatcheck(folder.path(), ["sum", "-r", "locked", "nowhere", "alone"]))).await;
    fs::set_permissions(path("locked"), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(text(&done.stdout), format!("{ABC}  alone\n"));
    let told = sorted(&done.stderr);
    assert_eq!(
        told,
        ["coatcheck: locked: Permission denied", "coatcheck: nowhere: No such file or directory"]
    );
    assert_eq!(done.status.code(), Some(1));
}

#[tokio::test]
async fn many_files_need_few_open_ones() {
    let folder = TempDir::new().unwrap();
    for number in 0..2000 {
        let length = if number % 20 == 0 { 100_000 } else { 10 };
        fs::write(folder.path().join(format!("{number}")), noise(number, length)).unwrap();
    }
    let mut command = Command::new("bash");
    let both = r#"ulimit -n 200; diff <("$0" sum *) <(md5sum *)"#;
    command.args(["-c", both, env!("CARGO_BIN_EXE_coatcheck")]).current_dir(folder.path());

    let done = output(command).await;

    assert_eq!((text(&done.stdout), text(&done.stderr), done.status.code()), ("", "", Some(0)));
}

#[tokio::test]
async fn manifests_are_read_as_md5sum_reads_them() {
    let folder = TempDir::new().unwrap();
    for name in ["a", "b c", " a", "x\ny", "x\ry", "back\\slash", "*star", "-dash"] {
        fs::write(folder.path().join(name), "abc").unwrap();
    }
    fs::write(folder.path().join("other"), "abd").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let upper = ABC.to_uppercase();
    let manifests = [
        format!("{ABC}  a\n"),
        format!("{ABC}  a"),
        format!("{ABC}  a\r\n"),
        format!("{ABC} *a\n{upper}  b c\n{ABC}  -dash\n"),
        format!("\n{ABC}  a\n\n"),
        format!("# {ABC}  a\n #\n{ABC}  a\n"),
        format!(" \t{ABC}  a\n"),
        format!("MD5 (a) = {ABC}\nMD5(b c)= {upper}\nMD5 (back\\slash) = {ABC}\n"),
        format!("MD5 (a) = {ABC} \nMD5 (a)  =  {ABC}\nMD5 a = {ABC}\nMD5 (a = {ABC}\nSHA1 (a) = {ABC}\n"),
        format!("\\{ABC}  x\\ny\n\\{ABC}  x\\ry\n\\{ABC}  back\\\\slash\n\\{ABC}  a\\qb\n\\{ABC}  a\\\n"),
        format!("\\MD5 (x\\ny) = {ABC}\n"),
        format!("{ABC} a\n{ABC}  a\n{ABC} *star\n"),
        format!("{ABC}  a\n{ABC} a\n{ABC} *star\n"),
        format!("{ABC}\n{ABC} \n{ABC}  \n{ABC}\ta\n{ABC}\t a\n"),
        format!("{ABC}a  a\n{}  a\n{}g  a\n", &ABC[1..], &ABC[1..]),
        format!("{ABC}  missing\n{ABC}  other\nnonsense\n{ABC}  folder\n{ABC}  a\n{ABC}  other\nmore\n"),
        format!("{ABC}  other\n"),
        format!("{ABC}  missing\n"),
        format!("{ABC}  a\0b\n"),
        "nonsense\n".to_owned(),
        "\n".to_owned(),
        String::new(),
    ];
    for manifest in &manifests {
        fs::write(folder.path().join("MD5SUMS"), manifest).unwrap();

        let told = same_as_md5sum(folder.path(), &arguments(&["-c"], &["MD5SUMS"])).await;

        assert!(!told.stderr.is_empty() || told.status.success(), "{manifest:?}");
        let [told, expected] =
            outputs_of(folder.path(), &arguments(&["-c"], &["-"]), manifest.as_bytes()).await;
        assert_same(&told, &expected, manifest);
    }
    fs::write(folder.path().join("MD5SUMS"), &manifests[0]).unwrap();
    fs::write(folder.path().join("more"), &manifests[15]).unwrap();
    same_as_md5sum(folder.path(), &arguments(&["--check"], &["more", "missing", "folder", "MD5SUMS"])).await;
    let stdin = format!("{ABC}  a\n{ABC}  -\n");
    let [told, expected] = outputs_of(folder.path(), &["-c".into()], stdin.as_bytes()).await;
    assert_same(&told, &expected, "standard input in itself");
}

#[tokio::test]
async fn what_sum_prints_md5sum_checks_and_the_other_way_round() {
    let folder = TempDir::new().unwrap();
    let names: Vec<OsString> = [&b"a"[..], b"new\nline", b"back\\slash", b"carriage\rreturn", b"\xff", b" "]
        .map(|name| OsString::from_vec(name.to_vec()))
        .into();
    for (number, name) in names.iter().enumerate() {
        fs::write(folder.path().join(name), noise(number as u64, 100_000 * number)).unwrap();
    }
    let sums = output(coatcheck(folder.path(), arguments(&["sum"], &names))).await;
    fs::write(folder.path().join("MD5SUMS"), sums.stdout).unwrap();

    let told = same_as_md5sum(folder.path(), &arguments(&["-c"], &["MD5SUMS"])).await;

    assert_eq!(told.stdout.escape_ascii().to_string().matches(": OK").count(), names.len());
    assert_eq!((told.status.code(), text(&told.stderr)), (Some(0), ""));
}

#[tokio::test]
async fn a_bar_is_drawn_on_a_terminal_and_lines_alone_are_printed() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    File::create(folder.path().join("a/zeros")).unwrap().set_len(64 << 20).unwrap();
    let zeros = "7f614da9329cd3aebf59b91aadc30bf0  a/zeros\n";
    fs::write(folder.path().join("MD5SUMS"), zeros).unwrap();
    for (arguments, printed, drawn) in [
        (&["a/zeros"][..], zeros, "/64.00 MiB"),
        (&["-r", "a"], zeros, "64.00 MiB"),
        (&["-c", "MD5SUMS"], "a/zeros: OK\n", "/64.00 MiB"),
    ] {
        let mut command = coatcheck(folder.path(), ["sum"]);
        command.args(arguments);

        let (done, terminal) = output_on_terminal(command).await;

        assert_eq!((text(&done.stdout), done.status.code()), (printed, Some(0)));
        assert!(terminal.contains(drawn), "{arguments:?}: {terminal}");
    }
}

#[tokio::test]
async fn unknown_flags_are_bad_usage() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["sum", "--nonsense"][..], &["sum", "-r", "-c", "."]] {
        let done = output(coatcheck(folder.path(), arguments)).await;

        assert_eq!((done.status.code(), text(&done.stderr).lines().count()), (Some(2), 1), "{arguments:?}");
    }
}

fn arguments<S: AsRef<OsStr>>(flags: &[&str], names: &[S]) -> Vec<OsString> {
    let names = names.iter().map(|name| name.as_ref().to_owned());
    flags.iter().map(OsString::from).chain(names).collect()
}

/// Runs both, compares all that they do, and returns ours.
async fn same_as_md5sum(folder: &Path, arguments: &[OsString]) -> Output {
    let [told, expected] = outputs_of(folder, arguments, b"").await;
    assert_same(&told, &expected, &format!("{:?}", arguments.first()));
    told
}

fn assert_same(told: &Output, expected: &Output, what: &str) {
    assert_eq!(text(&told.stderr).replace("coatcheck: ", "md5sum: "), text(&expected.stderr), "{what}");
    assert_eq!(told.stdout.escape_ascii().to_string(), expected.stdout.escape_ascii().to_string(), "{what}");
    assert_eq!(told.status.code(), expected.status.code(), "{what}");
}

/// Returns the outputs of `coatcheck sum` and `md5sum` for these arguments and that input.
async fn outputs_of(folder: &Path, arguments: &[OsString], input: &[u8]) -> [Output; 2] {
    let mut ours = coatcheck(folder, ["sum"]);
    ours.args(arguments).env("LC_ALL", "C.UTF-8");
    let mut theirs = Command::new("md5sum");
    theirs.args(arguments).current_dir(folder).env("LC_ALL", "C.UTF-8");
    // A file, so that no thread has to write while the command is read.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    let mut outputs = Vec::new();
    for command in [ours, theirs] {
        let mut command = unprivileged(command);
        std::io::Seek::rewind(&mut file).unwrap();
        command.stdin(Stdio::from(file.try_clone().unwrap()));
        outputs.push(output(command).await);
    }
    outputs.try_into().unwrap()
}

/// Returns the command without root's right to read every file.
fn unprivileged(command: Command) -> Command {
    if !geteuid().is_root() {
        return command;
    }
    let mut bounded = Command::new("setpriv");
    bounded
        .args(["--inh-caps=-all", "--bounding-set=-all"])
        .arg(command.get_program())
        .args(command.get_args());
    bounded.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", std::env::var_os("PATH").unwrap());
    bounded.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    bounded
}

fn sorted(lines: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> =
        lines.split_inclusive(|byte| *byte == b'\n').map(|line| text(line).trim_end().to_owned()).collect();
    lines.sort();
    lines
}

/// As text, whatever else is in it.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{}", OsStr::from_bytes(bytes).display()))
}
