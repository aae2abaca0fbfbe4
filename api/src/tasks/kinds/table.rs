//! `/api/v1/tables`: accepts tables, hands out and redeems their tickets, and shows the rows with their outcomes.

mod retry;
pub mod rows;

use std::collections::BTreeMap;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::kinds::Kind;
use task_data::kinds::table::check::Check;
use task_data::kinds::table::{Input as TableInput, Output as TableOutput};
use task_data::store::TableProgress;
use task_data::task::Task;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::params::Id;
use crate::http::wait::Wait;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Scope;
use crate::identity::auth::MaybeSession;
use crate::route::{Route, route};
use crate::tasks::{self, RedeemProblems, TaskView};
use crate::uploads::idempotency::IdempotencyHeader;
use crate::uploads::{self, Upload};

/// The path of tables; tickets follow it.
const PATH: &str = "/api/v1/tables/";

/// The tag of these addresses, and its meaning.
pub const TAG: (&str, &str) = ("tables", "Rows to a third party");

/// Returns the routes of this kind.
pub fn routes() -> Vec<Route> {
    vec![
        route!(Users: post),
        route!(Users: get),
        route!(Users: rows::get).large(),
        route!(Users: retry::post),
        // It leads to a page.
        route!(Anyone: page),
        route!(Users: elsewhere),
    ]
}

/// The table that was handed in
#[derive(ToSchema)]
#[schema(as = TableInput)]
#[expect(dead_code, reason = "describes the JSON of kinds::table::Input, which knows nothing of OpenAPI")]
pub struct Input {
    /// The last segment of the name that was sent
    #[schema(example = "posts.csv", required)]
    filename: Option<String>,
    /// Length in bytes; 0 where rows of another table are sent again
    #[schema(example = 63)]
    size: u64,
    /// Rows below the header; of a table that is sent again, those that had failed
    #[schema(example = 2)]
    rows: u64,
    /// The media type that was sent, at most 255 bytes
    #[schema(example = "text/csv", required)]
    content_type: Option<String>,
    /// Where its rows come from, if they have failed in another table
    #[schema(nullable = false)]
    source: Option<TableSource>,
}

/// Rows that have failed in another table
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the JSON of kinds::table::Source, which knows nothing of OpenAPI")]
pub struct TableSource {
    /// The table in which they have failed
    table: uuid::Uuid,
    /// The table that they were handed in with, whose id stays in their `Idempotency-Key`s
    first: uuid::Uuid,
    /// How many rows that one has
    first_rows: u64,
}

/// The outcome of the rows
#[derive(ToSchema)]
#[schema(as = TableOutput)]
#[expect(dead_code, reason = "describes the JSON of kinds::table::Output, which knows nothing of OpenAPI")]
pub struct Output {
    /// How many there are; each has its answer
    #[schema(example = 2)]
    rows: u64,
    /// How many of them the third party did not take
    #[schema(example = 0)]
    failed: u64,
}

/// A form with one table
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read as a stream")]
pub struct TableForm {
    /// CSV in UTF-8 whose first line is `userId,title,body`; `userId` is an integer
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A table's task, and how far it got
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = answered)]
pub struct TableTask {
    #[serde(flatten)]
    task: TaskView,
    progress: Progress,
}

/// How far a table got
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableProgress)]
pub struct Progress {
    /// Rows below the header
    rows: i64,
    /// Those that have their answer, failed ones included
    sent: i64,
    /// Those of them that the third party rejected
    failed: i64,
}

/// Hand a table in
///
/// The table is checked while it is received; nothing of a rejected table is kept or sent. Its rows are then sent to the third party, one
/// request a row.
#[utoipa::path(
    post, path = "/api/v1/tables", tag = "tables", operation_id = "postTable",
    security((), ("bearer" = []), ("cookie" = [])),
    params(IdempotencyHeader),
    request_body(content = TableForm, content_type = "multipart/form-data"),
    responses(TableAnswers),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = accept(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn accept(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let owner = MaybeSession::of(request).await?.user();
    let mut check = Check::default();
    let begin = |key| api.life.take_in_blob(key);
    let look = |bytes: &[u8]| check.feed(bytes).map_err(|_| Code::NotATable.into());
    let upload = uploads::from_form(api, owner, request, body, &["file"], begin, look).await?;
    let rows = check.finish().map_err(|_| Code::NotATable)?.map_err(Problem::invalid_table)?;

    let Upload { intake, filename, content_type, .. } = upload;
    let input =
        TableInput { filename, size: intake.size(), rows: rows.cast_signed(), content_type, source: None };
    let accepted = api.life.accept(intake, owner, input.into()).await?;
    Ok(tasks::accepted(api, PATH, accepted))
}

/// Redeem a ticket
///
/// With `wait` the answer comes as soon as each row has its answer, or after that many seconds with the task's present state.
#[utoipa::path(
    get, path = "/api/v1/tables/{id}", tag = "tables", operation_id = "getTable",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), Wait),
    responses((status = 200, description = "The task", body = TableTask), RedeemProblems),
)]
pub async fn get(
    api: Data<Api>,
    scope: Scope,
    id: Id,
    wait: Wait,
) -> Result<Json<TableTask>, Problem> {
    let task = tasks::redeemed(&api, scope, id, wait, Some(Kind::Table)).await?;
    let rows = input_of(&task)?.rows;
    // A table that has succeeded needs no counting.
    let output = task.result.clone().and_then(|result| serde_json::from_value(result).ok());
    let TableProgress { sent, failed } = match output {
        Some(TableOutput { rows, failed }) => TableProgress { sent: rows, failed },
        None => api.store.table_progress(task.id).await?,
    };
    Ok(Json(TableTask { task: task.into(), progress: Progress { rows, sent, failed } }))
}

/// Returns the task's input as a table.
fn input_of(task: &Task) -> Result<TableInput, Problem> {
    serde_json::from_value(task.input.clone()).map_err(|error| Problem::internal(&error))
}

/// The page for tables, at another address
#[utoipa::path(
    get, path = "/api/v1/file", tag = "tables", operation_id = "getFile",
    responses((status = 303, description = "It is at `/tables`", headers(("Location" = String, description = "`/tables`")))),
)]
pub async fn page() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/tables")).finish()
}

/// Hand a table in, at another address
#[utoipa::path(
    post, path = "/api/v1/file", tag = "tables", operation_id = "postFile",
    responses((status = 307, description = "Send it to `/api/v1/tables`",
               headers(("Location" = String, description = "`/api/v1/tables`")))),
)]
pub async fn elsewhere(payload: Payload) -> HttpResponse {
    let mut response = HttpResponse::TemporaryRedirect();
    response.insert_header((LOCATION, PATH.trim_end_matches('/')));
    Body::new(payload.into_inner()).unwanted(response.finish())
}

struct TableAnswers;

impl IntoResponses for TableAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        tasks::acceptance(
            accepted(),
            &[
                Code::IncompleteUpload,
                Code::InvalidDigest,
                Code::InvalidIdempotencyKey,
                Code::InvalidMultipart,
                Code::MissingFile,
                Code::MultipleFiles,
                Code::Unauthenticated,
                Code::Forbidden,
                Code::SlowUpload,
                Code::UploadTooLarge,
                Code::NotATable,
                Code::UnsupportedMediaType,
                Code::IdempotencyMismatch,
                Code::InvalidTable,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::Overloaded,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}

/// Returns a table whose rows were all sent, for OpenAPI.
fn answered() -> Value {
    let mut task = tasks::example();
    task["kind"] = json!("table");
    task["input"] = json!({"filename": "posts.csv", "size": 63, "rows": 2, "content_type": "text/csv"});
    task["result"] = json!({"rows": 2, "failed": 0});
    task["progress"] = json!({"rows": 2, "sent": 2, "failed": 0});
    task
}

/// Returns a table that was just handed in, for OpenAPI.
fn accepted() -> Value {
    let mut task = tasks::as_accepted(answered());
    if let Some(fields) = task.as_object_mut() {
        fields.remove("progress");
    }
    task
}
