//! Files and folders that only their owner may read, whatever the umask says.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// The folder for all data that no setting places elsewhere, under the working directory.
pub const DATA: &str = "data";

/// Makes a folder and its missing parents, mode 0700.
///
/// An existing folder keeps its mode, because it may serve other programs too. The exception is [`DATA`], which is this
/// program's own: earlier versions made it readable by all.
///
/// # Errors
/// If a folder can't be made or closed.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if path == Path::new(DATA) { close(path) } else { Ok(()) }
}

/// Takes all rights on a file or folder from its group and from others. A missing one is not an error.
///
/// # Errors
/// If its mode can't be read or changed, as that of another user's file.
pub fn close(path: &Path) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & 0o7700)) {
        // It went meanwhile, as a database's second file does.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        closed => closed,
    }
}
