//! Files and folders that only their owner can read, whatever the umask is.

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
/// If a folder can't be made, or its mode can't be changed.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if path == Path::new(DATA) { close(path) } else { Ok(()) }
}

/// Takes all rights on a file or folder from its group and from other users. A missing one is not an error.
///
/// # Errors
/// If its mode can't be read or changed, for example because another user owns it.
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
        // It was removed meanwhile, as a database's second file is.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        closed => closed,
    }
}
