//! The body of a request: read at a least pace, and ended in good order when the request is rejected.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::ConnectionType;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Instant, timeout};

use crate::http::permits::{Client, EASY, FairSemaphore, LazyPermit, Pace};
use crate::http::problem::{Code, Problem};

/// The time that a whole body may take, and the number of bytes for each of which it may take a second more. A body of any size can be
/// uploaded, and none that brings little stays for long.
const WHOLE: Duration = Duration::from_secs(600);
const WHOLE_PACE: u64 = 16 << 10;

/// The most bytes of a body that are kept in memory, and of a line in a body of many lines.
pub const MAX_BYTES: usize = 64 << 10;

/// The bytes that each body may have in memory without a permit, and the number of bodies that may have more there at a time.
const UNCOUNTED: u64 = 16 << 10;
const LARGER_BODIES: usize = 32;
static LARGER: LazyLock<Arc<FairSemaphore>> = LazyLock::new(|| FairSemaphore::new(LARGER_BODIES));

/// The body of a request.
pub struct Body {
    payload: Payload,
    is_read: bool,
    /// The time spent waiting for the client, and the bytes that came meanwhile, since the pace was last measured. The server's own
    /// slowness does not count.
    waited: Duration,
    came: u64,
    /// The same, since the beginning of the body.
    waited_in_all: Duration,
    came_in_all: u64,
    permit: Option<Arc<LazyPermit>>,
    /// Whether the body needs its permit before it is read beyond the first bytes.
    is_counted: bool,
}

impl Body {
    pub fn new(payload: Payload) -> Self {
        Self {
            payload,
            is_read: false,
            waited: Duration::ZERO,
            came: 0,
            waited_in_all: Duration::ZERO,
            came_in_all: 0,
            permit: None,
            is_counted: false,
        }
    }

    /// Counts the body, from now on, among the few that may have more than the first bytes in memory.
    pub fn count(&mut self, request: &HttpRequest) {
        self.permit = Some(LazyPermit::new(LARGER.clone(), Client::of(request, None)));
        self.is_counted = true;
    }

    /// Holds the body, from now on, to the pace that is expected of the permit's owner.
    pub fn keep_pace_of(&mut self, permit: Arc<LazyPermit>) {
        self.permit = Some(permit);
    }

    fn least_pace(&self) -> Pace {
        self.permit.as_ref().map_or(EASY, |permit| permit.least_pace())
    }

    /// Returns the next bytes; `None` at the end of the body.
    ///
    /// # Errors
    /// 408 if they come too slowly, 400 if the body is cut short, 503 if too many bodies are in memory.
    ///
    /// # Cancel safety
    /// A call that is dropped has taken nothing of the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(permit) = &self.permit
            && self.is_counted
            && self.came_in_all >= UNCOUNTED
            && !permit.take().await
        {
            return Err(Code::Overloaded.because("Too many bodies are on their way."));
        }
        let began = Instant::now();
        let silence = self.least_pace().over;
        let Ok(next) = timeout(silence, self.payload.next()).await else {
            return Err(Code::SlowUpload.because(format!("Nothing came for {} seconds.", silence.as_secs())));
        };
        self.waited += began.elapsed();
        self.waited_in_all += began.elapsed();
        match next {
            None => {
                self.is_read = true;
                Ok(None)
            }
            Some(Err(_)) => Err(Code::IncompleteUpload.because("The body was cut short.")),
            Some(Ok(chunk)) => {
                self.came += chunk.len() as u64;
                self.came_in_all += chunk.len() as u64;
                self.check_pace()?;
                Ok(Some(chunk))
            }
        }
    }

    fn check_pace(&mut self) -> Result<(), Problem> {
        let Pace { bytes, over } = self.least_pace();
        if self.waited >= over {
            if self.came < bytes * self.waited.as_secs() {
                let told = format!("It came with less than {} KiB a second.", bytes >> 10);
                return Err(Code::SlowUpload.because(told));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        if self.waited_in_all > WHOLE + Duration::from_secs(self.came_in_all / WHOLE_PACE) {
            let (minutes, pace) = (WHOLE.as_secs() / 60, WHOLE_PACE >> 10);
            let told = format!("A body has {minutes} minutes, and a second for each {pace} KiB of it.");
            return Err(Code::SlowUpload.because(told));
        }
        Ok(())
    }

    /// Reads the whole body into memory.
    ///
    /// # Errors
    /// 413 if it is too large for that, and as [`Self::chunk`].
    pub async fn whole(&mut self, request: &HttpRequest) -> Result<Vec<u8>, Problem> {
        let too_large = || Code::BodyTooLarge.because(format!("It has at most {MAX_BYTES} bytes here."));
        let length = request.headers().get(CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length| length > MAX_BYTES as u64) {
            return Err(too_large());
        }
        self.count(request);
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BYTES {
                return Err(too_large());
            }
        }
        Ok(bytes)
    }

    /// Turns the outcome into a response. A rejection ends the connection: the rest of the body must never be taken for another request.
    pub fn answered(self, outcome: Result<HttpResponse, Problem>) -> HttpResponse {
        match outcome {
            Ok(response) => response,
            Err(problem) => self.unwanted(problem.error_response()),
        }
    }

    /// Returns the response to a request whose body is not read to its end. It ends the connection.
    ///
    /// While the response holds the body, actix closes the connection after it gracefully: it reads on for a while, so that the client
    /// receives the response. If the body were dropped, actix would read and discard it for as long as it comes.
    pub fn unwanted(self, mut response: HttpResponse) -> HttpResponse {
        response.head_mut().set_connection_type(ConnectionType::Close);
        if self.is_read {
            return response;
        }
        response.map_body(|_, body| holding(body, self.payload))
    }
}

/// Returns the body of a response together with a value that lives until the body has been sent.
pub fn holding<T: Unpin + 'static>(body: BoxBody, held: T) -> BoxBody {
    BoxBody::new(Holding { body, _held: held })
}

struct Holding<T> {
    body: BoxBody,
    _held: T,
}

impl<T: Unpin> MessageBody for Holding<T> {
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

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use actix_web::http::StatusCode;
    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    /// Returns a body of chunks of those sizes, each after that pause in seconds; `None` ends it.
    fn body(chunks: Vec<(u64, Option<usize>)>) -> Body {
        let stream = stream::iter(chunks).then(async |(seconds, size)| {
            sleep(Duration::from_secs(seconds)).await;
            size.map(|size| Bytes::from(vec![0; size])).ok_or(PayloadError::Incomplete(None))
        });
        Body::new(Payload::Stream { payload: Box::pin(stream) })
    }

    async fn read(mut body: Body) -> Result<usize, StatusCode> {
        let mut size = 0;
        while let Some(chunk) = body.chunk().await.map_err(|problem| problem.status_code())? {
            size += chunk.len();
        }
        Ok(size)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_sent_away() {
        assert_eq!(
            read(body(vec![(0, Some(1 << 20)), (31, Some(1))])).await,
            Err(StatusCode::REQUEST_TIMEOUT)
        );
        assert_eq!(read(body(vec![(29, Some(1 << 20)), (29, Some(1 << 20))])).await, Ok(2 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_is_sent_away() {
        assert_eq!(read(body(vec![(10, Some(1)); 4])).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(read(body(vec![(10, Some(11 << 10)); 60])).await, Ok(60 * (11 << 10)));
        assert_eq!(read(body(vec![(29, Some(1))])).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_any_size_may_come_and_none_stays_that_brings_little() {
        // 1 MiB/s for a day, and 2 KiB/s for more than ten minutes.
        assert_eq!(read(body(vec![(1, Some(1 << 20)); 86_400])).await, Ok(86_400 << 20));
        assert_eq!(read(body(vec![(10, Some(20 << 10)); 60])).await, Ok(60 * (20 << 10)));
        assert_eq!(read(body(vec![(10, Some(20 << 10)); 90])).await, Err(StatusCode::REQUEST_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn while_places_are_missing_a_slow_body_loses_its_own() {
        use crate::http::permits::{Client, FairSemaphore};
        let semaphore = FairSemaphore::new(1);
        let permit = LazyPermit::new(semaphore.clone(), Client::Unknown);
        assert!(permit.take().await);
        let of = |pace: usize| {
            let mut body = body(vec![(1, Some(pace)); 60]);
            body.keep_pace_of(permit.clone());
            read(body)
        };
        assert_eq!(of(2 << 10).await, Ok(120 << 10));

        let (slow, other) = tokio::join!(of(2 << 10), semaphore.take(Client::Unknown));
        assert_eq!((slow, other.is_none()), (Err(StatusCode::REQUEST_TIMEOUT), true));

        let (fair, other) = tokio::join!(of(70 << 10), semaphore.take(Client::Unknown));
        assert_eq!((fair, other.is_none()), (Ok(4200 << 10), true));
    }

    #[tokio::test]
    async fn a_body_that_is_cut_short_is_no_upload() {
        assert_eq!(read(body(vec![(0, Some(10)), (0, None)])).await, Err(StatusCode::BAD_REQUEST));
    }
}
