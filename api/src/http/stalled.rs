//! Clients that don't read the answer that they asked for: their connections end.
//!
//! The server produces the next part of an answer only when the socket has taken the part before, and actix waits for that without a bound.
//! So the kernel gets the time for which a client may take nothing (`TCP_USER_TIMEOUT`, tcp(7)): then writing fails, and everything that
//! the answer holds is freed. A client that takes a little now and then is waited for, and so is an idle connection with nothing to send.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;

/// How long a client may take nothing while data is waiting for it.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Ends the connection once its peer has taken nothing for `timeout` while data was waiting for it.
///
/// # Errors
/// If it is not a TCP connection.
pub fn bound(connection: &impl AsFd, timeout: Duration) -> nix::Result<()> {
    let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    setsockopt(connection, TcpUserTimeout, &milliseconds)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_client_that_reads_nothing_is_left() {
        let (_client, mut server) = connected();
        bound(&server, Duration::from_millis(300)).unwrap();

        let ended = loop {
            if let Err(ended) = server.write(&[0; 1 << 16]) {
                break ended;
            }
        };

        assert_eq!(ended.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_client_that_reads_gets_all_of_it() {
        let (mut client, mut server) = connected();
        bound(&server, SEND_TIMEOUT).unwrap();
        let reader = std::thread::spawn(move || client.read_to_end(&mut Vec::new()));

        for _ in 0..100 {
            server.write_all(&[0; 1 << 16]).unwrap();
        }
        drop(server);

        assert_eq!(reader.join().unwrap().unwrap(), 100 << 16);
    }
}
