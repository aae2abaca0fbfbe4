//! The address that the API listens on: free, or held by whom.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};

use program::without_numbers;

use super::Finding;

const NAME: &str = "LISTEN";

/// Says whether the address is free.
pub fn free(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(NAME, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => held(listen),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::wrong(
            NAME,
            format!("{listen}: only root may use a port below 1024; choose another port"),
        ),
        Err(error) => Finding::wrong(
            NAME,
            format!("{listen}: {}; choose an address of this machine", without_numbers(&error.to_string())),
        ),
    }
}

fn held(listen: SocketAddr) -> Finding {
    match holder(listen.port()) {
        Some((pid, name)) if name == "coatcheck" => {
            Finding::ok(NAME, format!("{listen} is held by coatcheck (pid {pid}), which runs already"))
        }
        Some((pid, name)) => Finding::wrong(
            NAME,
            format!("{listen} is held by {name} (pid {pid}); stop it, or choose another address"),
        ),
        // Another user's, whose descriptors are not shown.
        None => Finding::wrong(
            NAME,
            format!(
                "{listen} is held by another program; find it with ss -ltnp as root, or choose another address"
            ),
        ),
    }
}

/// Returns the process that listens on a port, and its name; `None` if it can't be seen.
fn holder(port: u16) -> Option<(u32, String)> {
    let tables: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let lines = tables.iter().flat_map(|table| table.lines());
    let sockets: Vec<String> =
        lines.filter_map(|line| listening(line, port)).map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok);
        let has_it = |name: &str| sockets.iter().any(|socket| socket == name);
        descriptors
            .find(|file| fs::read_link(file.path()).is_ok_and(|to| to.to_str().is_some_and(has_it)))?;
        Some((pid, fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned()))
    })
}

/// Returns the inode of a line of `/proc/net/tcp` (proc(5)), if its socket listens on that port.
fn listening(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    fields.get(9).copied().filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn an_address_that_is_held_is_told_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();

        let finding = free(address);

        let pid = std::process::id();
        assert_eq!(finding.state, State::Wrong, "{finding:?}");
        assert!(finding.text.contains(&format!("(pid {pid}); stop it")), "{finding:?}");
        drop(listener);
        assert_eq!(free(address).state, State::Ok);
    }

    #[test]
    fn an_address_of_another_machine_is_wrong() {
        // TEST-NET-1 of RFC 5737.
        assert_eq!(free("192.0.2.1:9000".parse().unwrap()).state, State::Wrong);
    }
}
