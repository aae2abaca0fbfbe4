//! A request's body as it comes in: never slower than bearable, and never left to hang when it is refused.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Payload;
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Instant, timeout};

use crate::problem::{Code, Problem};

/// How long a client may be silent, and over what time its pace is measured.
const PATIENCE: Duration = Duration::from_secs(30);
/// What has to come within [`PATIENCE`]: 1 KiB a second.
const LEAST: u64 = 30 << 10;

/// The body of an upload.
pub struct Body {
    payload: Payload,
    is_read: bool,
    /// Time spent waiting for the client, and what came meanwhile. Our own slowness is not the client's.
    waited: Duration,
    came: u64,
}

impl Body {
    pub fn new(payload: Payload) -> Self {
        Self { payload, is_read: false, waited: Duration::ZERO, came: 0 }
    }

    /// The next bytes; `None` at the body's end.
    ///
    /// # Errors
    /// 408 if they come too slowly, 400 if the body is cut short.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let began = Instant::now();
        let Ok(next) = timeout(PATIENCE, self.payload.next()).await else {
            return Err(Code::SlowUpload.because("Nothing came for 30 seconds."));
        };
        self.waited += began.elapsed();
        match next {
            None => {
                self.is_read = true;
                Ok(None)
            }
            Some(Err(_)) => Err(Code::IncompleteUpload.because("The body was cut short.")),
            Some(Ok(chunk)) => {
                self.came += chunk.len() as u64;
                if self.waited >= PATIENCE {
                    if self.came < LEAST {
                        return Err(Code::SlowUpload.because("It came with less than 1 KiB a second."));
                    }
                    (self.waited, self.came) = (Duration::ZERO, 0);
                }
                Ok(Some(chunk))
            }
        }
    }

    /// The response, which ends the connection if it is a refusal: what is left of the body must never be taken for
    /// another request.
    pub fn answered(self, outcome: Result<HttpResponse, Problem>) -> HttpResponse {
        let problem = match outcome {
            Ok(response) => return response,
            Err(problem) => problem,
        };
        let mut response = problem.error_response();
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
        if self.is_read {
            return response;
        }
        response.map_body(|_, body| BoxBody::new(Unread { body, _payload: self.payload }))
    }
}

/// A response to a request whose body was not read to its end.
///
/// While it holds the body actix closes the connection after it, gracefully: it reads on for a while, so that the client
/// gets to see the response. A body that was dropped would be read, and thrown away, for as long as it comes.
struct Unread {
    body: BoxBody,
    _payload: Payload,
}

impl MessageBody for Unread {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
