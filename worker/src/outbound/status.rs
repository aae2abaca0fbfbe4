//! The meaning of each HTTP status for the request: one table for all outbound calls.

use reqwest::StatusCode;

/// The meaning of an answer for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The service has done it.
    Done,
    /// The service does not accept it now and may later. The reason, for people.
    MayPass(&'static str),
    /// The service will never accept it. The reason, for people.
    Never(&'static str),
}

/// Returns the meaning of a status. `is_repeat`: the service may have received the request before, under the same `Idempotency-Key`, and
/// its answer has not arrived.
pub fn meaning(status: StatusCode, is_repeat: bool) -> Meaning {
    use Meaning::{Done, MayPass, Never};
    match status.as_u16() {
        200..=299 => Done,
        // Temporary by definition (RFC 9110, 15.4.3 and 15.4.8): mostly a page about maintenance.
        302 | 307 => MayPass("it redirects for the time being, which is not followed"),
        300..=399 => Never("it redirects, which is not followed"),
        // The request may be repeated on another connection (RFC 9110, 15.5.9).
        408 => MayPass("it has not received the request in time"),
        // The first request is still in progress (draft-ietf-httpapi-idempotency-key-header, 2.6).
        409 if is_repeat => MayPass("an earlier request under the same key is in progress there"),
        // The first request holds a lock (RFC 4918, 11.3).
        423 if is_repeat => MayPass("an earlier request under the same key holds a lock there"),
        // The request must be repeated on a settled connection (RFC 8470, 5.2).
        425 => MayPass("it came too early"),
        // RFC 6585, 4.
        429 => MayPass("it accepts no more requests for now"),
        400..=499 => Never("it rejects the request"),
        502..=504 => MayPass("it is not available"),
        // Cloudflare uses these for a server that it can't reach, others for one that is overloaded.
        520..=527 | 530 => MayPass("its server can't be reached"),
        529 => MayPass("it is overloaded"),
        500..=599 => MayPass("it failed"),
        _ => Never("its status is not one of HTTP's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(status: u16, is_repeat: bool) -> &'static str {
        match meaning(StatusCode::from_u16(status).unwrap(), is_repeat) {
            Meaning::Done => "done",
            Meaning::MayPass(_) => "may pass",
            Meaning::Never(_) => "never",
        }
    }

    #[test]
    fn each_status_is_done_or_may_pass_or_never_does() {
        let may_pass = [302, 307, 408, 425, 429];
        for status in 100..=999 {
            let first = match status {
                200..=299 => "done",
                500..=599 => "may pass",
                _ if may_pass.contains(&status) => "may pass",
                _ => "never",
            };
            let repeat = if [409, 423].contains(&status) { "may pass" } else { first };
            assert_eq!((is(status, false), is(status, true)), (first, repeat), "{status}");
        }
    }
}
