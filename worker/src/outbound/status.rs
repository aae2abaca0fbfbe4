//! What a status says of the request that it answers: one table for all outbound calls.

use reqwest::StatusCode;

/// What becomes of a request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The service has done it.
    Done,
    /// The service does not take it now and may later. For people, why.
    MayPass(&'static str),
    /// The service won't take it, whenever it is sent. For people, why.
    Never(&'static str),
}

/// Says what a status means. `is_repeat`: the service may have had the request before, under the same `Idempotency-Key`, and its answer
/// has not arrived.
pub fn meaning(status: StatusCode, is_repeat: bool) -> Meaning {
    use Meaning::{Done, MayPass, Never};
    match status.as_u16() {
        200..=299 => Done,
        // Temporary by definition (RFC 9110, 15.4.3 and 15.4.8): a page about maintenance, mostly.
        302 | 307 => MayPass("it redirects for the time being, which is not followed"),
        300..=399 => Never("it redirects, which is not followed"),
        // May be sent again on another connection (RFC 9110, 15.5.9).
        408 => MayPass("it has not received the request in time"),
        // Its first request is still being worked on (draft-ietf-httpapi-idempotency-key-header, 2.6).
        409 if is_repeat => MayPass("an earlier request under the same key is under way there"),
        // What that one works on is locked (RFC 4918, 11.3).
        423 if is_repeat => MayPass("an earlier request under the same key holds a lock there"),
        // To be sent again, on a connection that is settled (RFC 8470, 5.2).
        425 => MayPass("it came too early"),
        // RFC 6585, 4.
        429 => MayPass("it takes no more requests for the moment"),
        400..=499 => Never("it does not take it"),
        502..=504 => MayPass("it is not available"),
        // Cloudflare's words for a server that it can't reach, and those of others for one that is overloaded.
        520..=527 | 530 => MayPass("its server can't be reached"),
        529 => MayPass("it is overloaded"),
        500..=599 => MayPass("it failed"),
        _ => Never("its status is none of HTTP"),
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
