//! The middleware around every request: its id, its span, the headers of its response, and a stop for panics.

use std::any::Any;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ResponseHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::{Error, ResponseError};
use futures::FutureExt;
use program::Repeated;
use program::metrics::{IntCounterVec, counters};
use tracing::{Instrument, Level, debug, enabled, error, info_span, warn};
use uuid::Uuid;

use crate::http::body::Body;
use crate::http::hops;
use crate::http::json;
use crate::http::keep_alive::KeepAlive;
use crate::http::problem::{Code, Problem};
use crate::http::request_id::{self, ID_HEADER};
use crate::http::stalled;

/// Pages load only this server's own files and are shown in no frame of another site.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (header::PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The most bytes of a request's target and headers. actix rejects a longer head only while a part of it is still to come.
const MAX_HEAD_BYTES: usize = 128 << 10;

/// HTTPS for a year, for clients that came over TLS. Subdomains are left to their owner.
const TLS_ONLY: &str = "max-age=31536000";

/// The methods that are counted by their names.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

static ANSWERED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "coatcheck_http_requests_total",
        "Requests answered, by method, route and status; `other` is any that the server does not know",
        &["method", "route", "status"],
    )
});

/// Requests that failed with 5xx, for the log: a server that is down fails all requests.
static FAILED: LazyLock<Repeated> = LazyLock::new(Repeated::default);

/// The state that requests of one connection share: whether a response has ended the connection.
///
/// actix still answers requests that follow on the connection, but bytes after a rejected upload may be the rest of it.
#[derive(Clone, Default)]
pub struct Connection {
    is_ended: Rc<Cell<bool>>,
    keep_alive: Option<Rc<KeepAlive>>,
}

impl Connection {
    /// Sets up a connection's state; actix calls it at each new connection.
    pub fn begin(connection: &dyn Any, data: &mut Extensions) {
        let mut keep_alive = None;
        if let Some(connection) = connection.downcast_ref::<TcpStream>() {
            let bound = stalled::bound(connection, stalled::SEND_TIMEOUT);
            match bound.and_then(|()| KeepAlive::watch(connection)) {
                Ok(watched) => keep_alive = Some(watched),
                Err(error) => warn!("a client will be waited for, whatever it does: {error}"),
            }
        }
        data.insert(Self { is_ended: Rc::default(), keep_alive });
    }

    fn is_ended(&self) -> bool {
        self.is_ended.get()
    }

    fn note(&self, response: &ResponseHead) {
        if response.connection_type() == ConnectionType::Close {
            self.is_ended.set(true);
        }
    }
}

/// Runs the middleware that encloses all others.
///
/// # Errors
/// A [`Problem`], if the handler panicked.
pub async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = Uuid::new_v4();
    let is_tls = hops::is_tls(request.request());
    let request_version = request.version();
    let connection = request.conn_data::<Connection>().cloned();
    let under_way = connection.as_ref().and_then(|connection| Some(connection.keep_alive.as_ref()?.begin()));
    // The path is left out because it may contain a user's file name.
    let span = info_span!("request", request_id = %id, method = %request.method());
    let answered = request_id::answer(id, async {
        if connection.as_ref().is_some_and(Connection::is_ended) {
            return Err(Code::IncompleteUpload.because("An upload on this connection was cut short.").into());
        }
        if head_bytes(&request) > MAX_HEAD_BYTES {
            return Ok(refused(request, Code::HeadersTooLarge.into()));
        }
        if body_never_ends(&request) {
            let detail =
                "The server doesn't speak WebSocket and is not a proxy. Send the request without Upgrade.";
            return Ok(refused(request, Code::InvalidRequest.because(detail)));
        }
        guarded(request, next).await
    });
    let is_http_10 = request_version <= Version::HTTP_10;
    answered.instrument(span).await.map(|mut response| {
        dress(response.headers_mut(), id);
        if is_tls {
            response
                .headers_mut()
                .insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
        }
        // actix reuses response heads with their old version: after an answer in HTTP/1.0, as for the health checks of load balancers,
        // other responses would say that they end their connections. The version is set again on the way out.
        response.response_mut().head_mut().version = Version::HTTP_11;
        if is_http_10 && response.response().body().size() == BodySize::Stream {
            // HTTP/1.0 has no chunks (RFC 9112, 7.1): the end of the connection ends the body.
            let head = response.response_mut().head_mut();
            head.no_chunking(true);
            head.set_connection_type(ConnectionType::Close);
        }
        if let Some(connection) = connection {
            connection.note(response.response().head());
        }
        match under_way {
            Some(under_way) => response.map_body(|_, body| under_way.with(body)),
            None => response,
        }
    })
}

/// Answers a request with a problem without reading its body, and ends its connection.
fn refused(request: ServiceRequest, problem: Problem) -> ServiceResponse<BoxBody> {
    let (request, payload) = request.into_parts();
    let response = Body::new(payload).unwanted(problem.error_response());
    count(request.method(), None, response.status());
    ServiceResponse::new(request, response)
}

/// Returns whether actix takes everything after the head for the request's body, whatever length the head says.
fn body_never_ends(request: &ServiceRequest) -> bool {
    let upgrades = request.headers().get_all(header::UPGRADE);
    let is_websocket = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    request.method() == Method::CONNECT || (upgrades.into_iter().any(is_websocket) && !is_chunked)
}

/// Returns the length of a request's target and headers, in bytes, with their separators.
fn head_bytes(request: &ServiceRequest) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + ": \r\n".len() + value.len();
    target + request.headers().iter().map(header).sum::<usize>()
}

async fn guarded(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    // Both may identify a person: they are logged only at the level for examining one failure.
    let from = enabled!(Level::DEBUG).then(|| {
        let client = hops::client(request.request()).map(|client| client.to_string());
        (client.unwrap_or_default(), request.path().to_owned())
    });
    let method = request.method().clone();
    // No state of ours is left half-changed: a handler that panicked drops its values.
    let Ok(outcome) = AssertUnwindSafe(next.call(request)).catch_unwind().await else {
        error!("a request's handler panicked");
        count(&method, None, StatusCode::INTERNAL_SERVER_ERROR);
        return Err(Problem::from(Code::Internal).into());
    };
    let response = outcome?.map_into_boxed_body().map_body(|head, body| json::ended(head, body));

    let (status, pattern) = (response.status(), response.request().match_pattern());
    count(&method, pattern.as_deref(), status);
    let route = pattern.unwrap_or_default();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let line = format!("a request was answered with {status}");
    if status.is_server_error()
        && let Some(line) = FAILED.line(&line)
    {
        warn!(%status, route, milliseconds, "{line}");
    }
    if let Some((client, path)) = from {
        debug!(%status, route, milliseconds, client, path, "{line}");
    }
    Ok(response)
}

/// Counts an answer. A client makes up methods and paths, and each would be a series.
fn count(method: &Method, route: Option<&str>, status: StatusCode) {
    let method = if METHODS.contains(method) { method.as_str() } else { "other" };
    ANSWERED.with_label_values(&[method, route.unwrap_or("other"), status.as_str()]).inc();
}

/// Sets the headers that a handler has not set itself.
fn dress(headers: &mut HeaderMap, id: Uuid) {
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(ID_HEADER, id);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, try_call_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    #[actix_web::test]
    async fn a_long_head_is_refused_however_it_came() {
        let app = App::new().default_service(web::to(HttpResponse::Ok)).wrap(from_fn(answer));
        let service = init_service(app).await;
        for (length, status) in [(MAX_HEAD_BYTES - 100, 200), (MAX_HEAD_BYTES, 431)] {
            let request = TestRequest::default().append_header(("x", "x".repeat(length))).to_request();

            assert_eq!(call_service(&service, request).await.status(), status, "{length} bytes");
        }
    }

    #[actix_web::test]
    async fn a_panic_is_answered_without_its_words() {
        let panic = async || -> HttpResponse { panic!("secret") };
        let app = App::new().route("/", web::to(panic)).wrap(from_fn(answer));
        let service = init_service(app).await;

        let error = try_call_service(&service, TestRequest::default().to_request()).await.unwrap_err();

        let response = error.error_response();
        assert_eq!(response.status(), 500);
        let id = response.headers().get(ID_HEADER).unwrap().to_str().unwrap().to_owned();
        let body = String::from_utf8(response.into_body().try_into_bytes().unwrap().to_vec()).unwrap();
        assert!(body.contains("\"internal\"") && body.contains(&id) && !body.contains("secret"), "{body}");
    }
}
