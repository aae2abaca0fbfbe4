//! `/api/v1/md5`: files in, tickets out.

use std::collections::BTreeMap;

use accounts::user::UserId;
use actix_web::web::{Data, Json, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use task_data::kinds::{self, Kind};
use task_data::store::{Filter, ListPlace};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::params::{self, Id};
use crate::http::wait::Wait;
use crate::http::problem::{self, Code, Problem};
use crate::identity::access::Scope;
use crate::identity::auth::MaybeSession;
use crate::route::{Route, route};
use crate::tasks::list::{self, TaskList};
use crate::tasks::{self, RedeemProblems, TaskView};
use crate::uploads::expected::{ExpectedHeaders, ExpectedOfBody};
use crate::uploads::idempotency::IdempotencyHeader;
use crate::uploads::{self, Upload};

/// Where uploads go; tickets and file names follow it.
const PATH: &str = "/api/v1/md5/";

/// The tag of these addresses, and its meaning.
pub const TAG: (&str, &str) = ("md5", "Digests of files");

/// Returns the routes of this kind.
pub fn routes() -> Vec<Route> {
    vec![
        route!(Users: find).large(),
        route!(Users: post),
        route!(Users: put_unnamed),
        // `curl -T FILE` adds the file's name to an address that ends with a slash, and standard input has none.
        route!(Users: GET PATH, find).large(),
        route!(Users: POST PATH, post),
        route!(Users: PUT PATH, put_unnamed),
        route!(Users: get),
        route!(Users: put),
    ]
}

/// The uploaded file
#[derive(ToSchema)]
#[schema(as = Md5Input)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the JSON of kinds::md5::Input, which knows nothing of OpenAPI")]
pub struct Input {
    /// The last segment of the name that was sent
    #[schema(example = "a.txt", required)]
    filename: Option<String>,
    /// Length in bytes
    #[schema(example = 3)]
    size: u64,
    /// The media type that was sent, at most 255 bytes
    #[schema(example = "text/plain", required)]
    content_type: Option<String>,
    /// The digest that the sender expects, if they gave one
    #[schema(example = "900150983cd24fb0d6963f7d28e17f72", nullable = false)]
    expected: Option<String>,
}

/// The result of the hashing
#[derive(ToSchema)]
#[schema(as = Md5Output)]
#[expect(dead_code, reason = "describes the JSON of kinds::md5::Output, which knows nothing of OpenAPI")]
pub struct Output {
    /// The digest in 32 lower-case hex digits
    #[schema(example = "900150983cd24fb0d6963f7d28e17f72")]
    md5: String,
    /// The digest that the sender expects, if they gave one
    #[schema(example = "900150983cd24fb0d6963f7d28e17f72", nullable = false)]
    expected: Option<String>,
    /// Whether the two are equal
    #[schema(example = true, nullable = false)]
    matches: Option<bool>,
}

/// A form with one file
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read as a stream")]
pub struct UploadForm {
    /// Any file, of any size
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The digest that you expect, in hex, or nothing; the result tells whether it matches
    #[schema(pattern = "^([0-9A-Fa-f]{32})?$", example = "", nullable = false)]
    md5: Option<String>,
}

/// A file
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body that is read as a stream")]
pub struct File(Vec<u8>);

/// Hand a file in as a form
///
/// The ticket is the task's `id`; the digest follows at the address in `Location`.
#[utoipa::path(
    post, path = "/api/v1/md5", tag = "md5", operation_id = "postMd5",
    security((), ("bearer" = []), ("cookie" = [])),
    params(IdempotencyHeader, ExpectedHeaders),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(UploadAnswers),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = async {
        let owner = MaybeSession::of(&request).await?.user();
        let begin = |key| api.life.take_in(key);
        let (taken, look) = (["file", "md5"], |_: &[u8]| Ok(()));
        let upload = uploads::from_form(&api, owner, &request, &mut body, &taken, begin, look).await;
        let upload = upload.map_err(|problem| match problem.is(Code::UnsupportedMediaType) {
            true => problem.adding("PUT /api/v1/md5/{filename} takes a file as the bare body."),
            false => problem,
        })?;
        accept(&api, owner, upload).await
    };
    let outcome = outcome.await;
    body.answered(outcome)
}

/// Hand a file in as the bare body
///
/// This is what `curl -T FILE http://…/api/v1/md5/` sends.
#[utoipa::path(
    put, path = "/api/v1/md5/{id}", tag = "md5", operation_id = "putMd5",
    security((), ("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The file's name, percent-encoded", example = "a.txt"),
        IdempotencyHeader, ExpectedHeaders, ExpectedOfBody,
    ),
    request_body(content = File, content_type = "application/octet-stream", description = "The file"),
    responses(UploadAnswers),
)]
pub async fn put(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    // Not the matched segment: the router has undone some of its escapes already.
    let name = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let outcome = async {
        let owner = MaybeSession::of(&request).await?.user();
        accept(&api, owner, uploads::from_body(&api, owner, &request, name, &mut body).await?).await
    };
    let outcome = outcome.await;
    body.answered(outcome)
}

/// Hand a file in as the bare body, without a name
///
/// This is what `curl -T - http://…/api/v1/md5/` sends.
#[utoipa::path(
    put, path = "/api/v1/md5", tag = "md5", operation_id = "putUnnamedMd5",
    security((), ("bearer" = []), ("cookie" = [])),
    params(IdempotencyHeader, ExpectedHeaders, ExpectedOfBody),
    request_body(content = File, content_type = "application/octet-stream", description = "The file"),
    responses(UploadAnswers),
)]
pub async fn put_unnamed(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    put(api, request, payload).await
}

async fn accept(api: &Api, owner: Option<UserId>, upload: Upload<'_>) -> Result<HttpResponse, Problem> {
    let Upload { intake, filename, content_type, expected, .. } = upload;
    let input = kinds::md5::Input { filename, size: intake.size(), content_type, expected };
    let accepted = api.life.accept(intake, owner, input.into()).await?;
    Ok(tasks::accepted(api, PATH, accepted))
}

/// Which tasks to find
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DigestParameters {
    /// 32 hex digits, in upper or lower case
    #[param(value_type = String, pattern = "^[0-9A-Fa-f]{32}$", example = "900150983cd24fb0d6963f7d28e17f72", required)]
    digest: Option<String>,
    /// The most tasks to return; 100 if not given
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the page before
    after: Option<String>,
}

/// Look a digest up: the tasks that found it, newest first
#[utoipa::path(
    get, path = "/api/v1/md5", tag = "md5", operation_id = "findMd5", params(DigestParameters),
    responses((status = 200, description = "A page of tasks", body = TaskList), DigestProblems),
)]
pub async fn find(
    api: Data<Api>,
    scope: Scope,
    request: HttpRequest,
    parameters: Query<DigestParameters>,
) -> Result<HttpResponse, Problem> {
    let digest = parameters.digest.as_deref();
    let digest = digest.ok_or_else(|| params::wrong("digest", "it is missing"))?;
    let digest =
        digest.parse().map_err(|_| Code::InvalidDigest.because("`digest` must have 32 hex digits."))?;
    let (limit, after) = params::page_parameters(parameters.limit.as_deref(), parameters.after.as_deref())?;
    let after = after.map(ListPlace::from);
    let filter = Filter { digest: Some(digest), after, limit, ..Filter::default() };
    list::page(&api, scope, &request, filter, false).await
}

/// Redeem a ticket
///
/// With `wait` the answer comes as soon as the digest is there, or after that many seconds with the task's present state.
#[utoipa::path(
    get, path = "/api/v1/md5/{id}", tag = "md5", operation_id = "getMd5",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), Wait),
    responses((status = 200, description = "The task", body = TaskView), RedeemProblems),
)]
pub async fn get(
    api: Data<Api>,
    scope: Scope,
    id: Id,
    wait: Wait,
) -> Result<Json<TaskView>, Problem> {
    tasks::redeem(&api, scope, id, wait, Some(Kind::Md5)).await
}

struct DigestProblems;

impl IntoResponses for DigestProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::InvalidDigest,
            Code::InvalidParameter,
            Code::DatabaseUnavailable,
            Code::Overloaded,
        ])
    }
}

struct UploadAnswers;

impl IntoResponses for UploadAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        tasks::acceptance(
            accepted(),
            &[
                Code::IncompleteUpload,
                Code::InvalidDigest,
                Code::InvalidIdempotencyKey,
                Code::InvalidMultipart,
                Code::InvalidParameter,
                Code::MissingFile,
                Code::MultipleFiles,
                Code::PartialUpload,
                Code::Unauthenticated,
                Code::Forbidden,
                Code::SlowUpload,
                Code::UploadTooLarge,
                Code::UnsupportedMediaType,
                Code::IdempotencyMismatch,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::Overloaded,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}

/// Returns a task that was just made, for OpenAPI.
fn accepted() -> serde_json::Value {
    tasks::as_accepted(tasks::example())
}
