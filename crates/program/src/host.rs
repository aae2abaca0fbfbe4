//! The host that the program runs on.

/// Returns the host's name; `unknown` if it has none. A container's is usually its own.
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}
