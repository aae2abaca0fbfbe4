//! HTTP without the subject of tasks: request and response bodies in bounded memory, problems, the client and its proxies, and clients that
//! hang.

pub mod addresses;
pub mod bearer;
pub mod body;
pub mod counts;
pub mod csv;
pub mod dates;
pub mod hops;
pub mod json;
pub mod keep_alive;
pub mod look;
pub mod origin;
pub mod params;
pub mod permits;
pub mod problem;
pub mod request;
pub mod request_id;
pub mod stalled;
pub mod streamed;
pub mod wait;

/// Returns bytes as lower-case hex digits, two for each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
