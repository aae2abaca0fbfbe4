//! Rows, uploads and keys are their owner's alone: whatever the umask says, and also those that an earlier version made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use test_kit::eventually;

use crate::kit::content::noise;
use crate::kit::program::{Program, output};
use crate::kit::stack::{Stack, own_host};

/// The whole service under that umask.
async fn start(stack: &Stack, umask: &str) -> Program {
    let mut program = Program::start(under(stack, umask, &[]), stack.folder());
    let address = program.address(stack.folder()).await;
    stack.answers_at(address);
    program
}

fn under(stack: &Stack, umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("umask {umask} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_coatcheck")]).args(arguments);
    command.current_dir(stack.folder()).env_clear().env("LISTEN", format!("{}:0", own_host()));
    command
}

/// All that is in a folder, itself included, with modes.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        // A file that is gone by now needs no mode.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()));
        }
        found.push((path, metadata.permissions().mode() & 0o777));
    }
    found
}

/// Only its owner may read it; the outcome log, which is made to be shared, has a group of readers.
#[track_caller]
fn are_private(folder: &Path) {
    let found = modes(folder);
    assert!(found.len() > 260, "{found:?}");
    for (path, mode) in found {
        let is_log = path.file_name().unwrap().to_string_lossy().starts_with("outcomes.log");
        let shared = if is_log { 0o027 } else { 0o077 };
        assert_eq!(mode & shared, 0, "{}: {mode:o}", path.display());
    }
}

/// Uploads of both sorts, one of which stays.
async fn use_it(stack: &Stack) {
    for content in [noise(1, 10), noise(2, 100_000)] {
        stack.until(&stack.put(content).await, "succeeded").await;
    }
    // It is on its way for as long as it is not sent whole.
    std::mem::forget(stack.begin_put(200_000, 100_000).await);
    eventually("an upload on its way", async || if stack.blobs().is_empty() { Err("none") } else { Ok(()) })
        .await;
    stack.register("ada").await;
}

#[tokio::test]
async fn what_the_embedded_form_makes_is_its_owners_alone() {
    for umask in ["0", "022"] {
        let stack = Stack::bare(&[]);
        let program = start(&stack, umask).await;
        use_it(&stack).await;

        are_private(&stack.data(""));

        let backup = stack.folder().join("backup");
        let done = output(under(&stack, umask, &["backup", "backup"])).await;
        assert!(done.status.success(), "{done:?}");
        assert_eq!(
            modes(&backup).last().map(|_| fs::metadata(&backup).unwrap().permissions().mode() & 0o777),
            Some(0o700)
        );
        are_private(&backup.join("data"));
        program.kill();
    }
}

#[tokio::test]
async fn what_an_earlier_version_made_is_closed_at_the_start() {
    let stack = Stack::bare(&[]);
    let program = start(&stack, "022").await;
    use_it(&stack).await;
    // Killed, so that the database's other files stay.
    program.kill();
    let open = ["coatcheck.db", "coatcheck.db-wal", "coatcheck.db-shm", "coatcheck.db.lock", "jwt-secret"];
    for name in open {
        fs::set_permissions(stack.data(name), Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(stack.data(""), Permissions::from_mode(0o755)).unwrap();

    let _program = start(&stack, "022").await;

    are_private(&stack.data(""));
}

#[tokio::test]
async fn a_folder_that_is_not_ours_keeps_its_mode() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let stack = Stack::bare(&[]);
    let mut migrate = under(&stack, "0", &["migrate"]);
    migrate.env("DATABASE_URL", format!("sqlite:{}/rows.db", folder.path().display()));

    assert!(output(migrate).await.status.success());

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(folder.path()), mode(&folder.path().join("rows.db"))), (0o755, 0o600));
}
