//! The folder that a file is in.

use std::fs::File;
use std::io;
use std::path::Path;

/// Returns the folder of a path: the working directory, `.`, for a name alone.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes the folder of a path, so that a file which was made, renamed or removed there stays so after a power cut.
///
/// # Errors
/// If the folder can't be opened or flushed.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
