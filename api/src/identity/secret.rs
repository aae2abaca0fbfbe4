//! The secret that signs tokens: given by a setting, or made once and kept beside the data.

use std::fs::{self, File, OpenOptions, hard_link, remove_file};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use program::private;
use tracing::warn;
use uuid::Uuid;

use crate::http::hex;
use crate::identity::token::Keys;
use crate::settings::Auth;

/// The file of a generated secret, under the working directory.
pub const PATH: &str = "data/jwt-secret";
/// Secrets that anyone can read: the one in the compose file for development.
const PUBLISHED: [&str; 1] = ["development-development-development"];

/// Returns the keys of the setting, which is a variable or a file; without it, those of the kept secret, which is made if it is missing.
///
/// # Errors
/// The reason why the setting or the kept secret can't be used, in words for a person.
pub fn keys(file: Option<&Path>, auth: Auth) -> Result<Keys, String> {
    if let Some(secrets) = program::secret("JWT_SECRET", file)? {
        if auth == Auth::Required && secrets.split(',').any(|secret| PUBLISHED.contains(&secret.trim())) {
            return Err("JWT_SECRET: with AUTH=required expected a secret of your own, got the published one for development; \
                        make one: openssl rand -hex 32"
                .to_owned());
        }
        return Keys::new(&secrets).map_err(|short| format!("JWT_SECRET: {short}"));
    }
    let path = Path::new(PATH);
    let kept = kept(path).or_else(|error| {
        // Hashing files anonymously needs no secret.
        warn!("{PATH}: {error}; using a temporary key: sessions work only in this process and end when it exits; set JWT_SECRET");
        random()
    });
    let kept = kept.map_err(|error| format!("JWT_SECRET: no secret can be made: {error}"))?;
    Keys::new(&kept)
        .map_err(|short| format!("JWT_SECRET: {PATH}: {short}; remove the file, or set JWT_SECRET"))
}

/// Returns the kept secret. Several processes that make one at once all get the same.
fn kept(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => {
            let secret = read?.trim().to_owned();
            private::close(path)?;
            return Ok(secret);
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    private::make_folder(folder)?;
    let part = folder.join(format!("jwt-secret.{}", Uuid::new_v4()));
    let made = make(&part).and_then(|()| {
        // Written whole or not at all, and never over another process's: link(2) fails if the name exists.
        match hard_link(&part, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked.and_then(|()| File::open(folder)?.sync_all()),
        }
    });
    let removed = remove_file(&part);
    made.and(removed)?;
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn make(part: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    writeln!(file, "{}", random()?)?;
    file.sync_all()
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    #[test]
    fn all_who_make_a_secret_at_once_have_the_same_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/jwt-secret");

        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                thread::spawn(move || kept(&path).unwrap())
            })
            .collect();
        let secrets: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

        assert_eq!(secrets[0].len(), 64);
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(kept(&path).unwrap(), secrets[0]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_can_not_be_kept_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), "no folder").unwrap();

        assert!(kept(&folder.path().join("data/jwt-secret")).is_err());
    }
}
