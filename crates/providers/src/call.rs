//! The calls: the provider's work for clients, and its statistics and controls.

use std::time::Instant;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::{Control, ControlChange};
use crate::problem::{Code, Problem, ProblemView};
use crate::provider::Provider;
use crate::stand_in::StandIn;
use crate::state::{Arrival, Stats};

/// The id in the answer to every row: none is kept.
const ROW_ID: u64 = 101;

/// A text to work on
#[derive(Debug, Deserialize, ToSchema)]
pub struct Message {
    #[schema(example = "Good morning")]
    text: String,
}

/// The result for a text
#[derive(Debug, Serialize, ToSchema)]
pub struct Reply {
    provider: Provider,
    /// The text as it was sent
    #[schema(example = "Good morning")]
    text: String,
    /// The number of words in it
    #[schema(example = 2)]
    words: usize,
    /// The request's number since the start or the last reset
    #[schema(example = 1)]
    request: u64,
}

/// A row of a table
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    #[schema(example = 7)]
    user_id: i64,
    #[schema(example = "On hats")]
    title: String,
    #[schema(example = "Leave them at the door.")]
    body: String,
}

/// An accepted row
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenRow {
    #[serde(flatten)]
    row: Row,
    #[schema(example = 101)]
    id: u64,
}

/// Shows that the program answers
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Work on a text
#[utoipa::path(post, path = "/process", tag = "provider", operation_id = "process", request_body = Message,
    params(("Idempotency-Key" = Option<String>, Header, description = "Identifies the request; repeated ones are counted")),
    responses(
        (status = 200, description = "Done", body = Reply),
        (status = 400, description = "Not JSON, or a bad key", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 413, description = "A body over 1 MiB", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 422, description = "The field `text` is missing or not a string", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 429, description = "All requests of this period are used up; only the free provider",
            body = ProblemView<'static>, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Whole seconds until requests are accepted again"))),
        (status = 500, description = "The provider was told to fail", body = ProblemView<'static>, content_type = "application/problem+json"),
    ))]
pub async fn process(
    stand_in: Data<StandIn>,
    request: HttpRequest,
    message: Json<Message>,
) -> Result<HttpResponse, Problem> {
    let provider = stand_in.provider();
    let Message { text } = message.into_inner();
    let words = text.split_whitespace().count();
    let reply = |number| {
        HttpResponse::build(provider.accepted()).json(Reply { provider, text, words, request: number })
    };
    stand_in.answer(&request, reply).await
}

/// Accept a row
#[utoipa::path(post, path = "/posts", tag = "provider", operation_id = "post", request_body = Row,
    params(("Idempotency-Key" = Option<String>, Header, description = "Identifies the request; repeated ones are counted")),
    responses(
        (status = 201, description = "The row with its id, which is always 101, because rows are not kept", body = TakenRow),
        (status = 400, description = "Not JSON, or a bad key", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 413, description = "A body over 1 MiB", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 422, description = "Not a row", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 500, description = "The provider was told to fail", body = ProblemView<'static>, content_type = "application/problem+json"),
    ))]
pub async fn post(
    stand_in: Data<StandIn>,
    request: HttpRequest,
    row: Json<Row>,
) -> Result<HttpResponse, Problem> {
    let taken = TakenRow { row: row.into_inner(), id: ROW_ID };
    let status = stand_in.provider().accepted();
    stand_in.answer(&request, |_| HttpResponse::build(status).json(taken)).await
}

/// Show the counts
#[utoipa::path(get, path = "/stats", tag = "seen", operation_id = "getStats",
    responses((status = 200, description = "Since the start or the last reset", body = Stats)))]
pub async fn stats(stand_in: Data<StandIn>) -> Json<Stats> {
    let state = stand_in.state();
    Json(state.stats(Instant::now()))
}

/// List the well-formed requests, in the order of arrival; the last million
#[utoipa::path(get, path = "/stats/arrivals", tag = "seen", operation_id = "getArrivals",
    responses((status = 200, description = "The requests", body = Vec<Arrival>)))]
pub async fn arrivals(stand_in: Data<StandIn>) -> Json<Vec<Arrival>> {
    Json(stand_in.state().arrivals())
}

/// Forget counts, arrivals and the current period; the behaviour set by `PUT /control` stays
#[utoipa::path(post, path = "/reset", tag = "seen", operation_id = "reset",
    responses((status = 200, description = "The counts, which start again from zero", body = Stats)))]
pub async fn reset(stand_in: Data<StandIn>) -> Json<Stats> {
    let mut state = stand_in.state();
    state.reset();
    Json(state.stats(Instant::now()))
}

/// Show the provider's behaviour
#[utoipa::path(get, path = "/control", tag = "told", operation_id = "getControl",
    responses((status = 200, description = "The current behaviour", body = Control)))]
pub async fn control(stand_in: Data<StandIn>) -> Json<Control> {
    Json(stand_in.state().control().clone())
}

/// Change the provider's behaviour, from the next request on
#[utoipa::path(put, path = "/control", tag = "told", operation_id = "putControl", request_body = ControlChange,
    responses(
        (status = 200, description = "The new behaviour", body = Control),
        (status = 400, description = "Not JSON", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 422, description = "An unknown field, or a value out of range", body = ProblemView<'static>, content_type = "application/problem+json"),
    ))]
pub async fn obey(stand_in: Data<StandIn>, change: Json<ControlChange>) -> Result<Json<Control>, Problem> {
    let mut state = stand_in.state();
    state.obey(&change).map_err(|wrong| Code::InvalidControl.because(wrong))?;
    Ok(Json(state.control().clone()))
}

/// Check whether the provider accepts requests
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "isReady",
    responses((status = 200, description = "It does, also while it is blocked or told to fail", body = Alive)))]
pub async fn ready() -> Json<Alive> {
    Json(Alive { status: "ready" })
}

/// Check whether the program runs
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "isAlive",
    responses((status = 200, description = "It does", body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}
