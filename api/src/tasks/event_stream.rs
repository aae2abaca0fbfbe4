//! Server-Sent Events (HTML, 9.2): what all streams of events have in common.

use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::future::{LocalBoxFuture, pending};
use futures::{FutureExt, Stream, StreamExt};

use crate::app::Api;
use crate::http::problem::Problem;
use crate::identity::auth::MaybeSession;

/// A comment line, sent so that a proxy does not take a quiet stream for a dead one.
pub const STILL_HERE: (Duration, &str) = (Duration::from_secs(15), ":\n\n");
/// How soon a client whose stream was cut reconnects.
pub const RETRY: &str = "retry: 1000\n";
/// Tells nginx not to buffer events.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The id of the last event that a client has seen.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers with a stream of events, which ends with the client's session.
pub fn answer(
    api: Data<Api>,
    request: &HttpRequest,
    events: impl Stream<Item = Result<Bytes, Problem>> + 'static,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((BUFFERING, "no"));
    // As for the scope: where authentication is off, no session matters.
    let session = MaybeSession::found(request).and_then(|found| found.0);
    let ended: LocalBoxFuture<'static, ()> = match session {
        Some(session) => session.ended(api).boxed_local(),
        None => pending().boxed_local(),
    };
    response.streaming(events.take_until(ended))
}
