//! The calls: what a provider does for its clients, and what it can be asked and told about that.

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

/// What every row is answered with: nothing is kept.
const ROW_ID: u64 = 101;

/// A text to work on
#[derive(Debug, Deserialize, ToSchema)]
pub struct Message {
    #[schema(example = "Good morning")]
    text: String,
}

/// What became of the text
#[derive(Debug, Serialize, ToSchema)]
pub struct Reply {
    provider: Provider,
    /// The text as it came
    #[schema(example = "Good morning")]
    text: String,
    /// How many words it has
    #[schema(example = 2)]
    words: usize,
    /// Which request it was since the start or the last reset
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

/// A row that was taken
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenRow {
    #[serde(flatten)]
    row: Row,
    #[schema(example = 101)]
    id: u64,
}

/// That the program answers
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Work on a text
#[utoipa::path(post, path = "/process", tag = "provider", operation_id = "process", request_body = Message,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the request; one that comes again is counted")),
    responses(
        (status = 200, description = "Done", body = Reply),
        (status = 400, description = "Not JSON, or a bad key", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 413, description = "A body over 1 MiB", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 422, description = "No text", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 429, description = "All requests of this period are used up; the free provider alone",
            body = ProblemView<'static>, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Whole seconds until the next requests are taken"))),
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

/// Take a row
#[utoipa::path(post, path = "/posts", tag = "provider", operation_id = "post", request_body = Row,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the request; one that comes again is counted")),
    responses(
        (status = 201, description = "The row with its id, which is always 101: nothing is kept", body = TakenRow),
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

/// What was counted
#[utoipa::path(get, path = "/stats", tag = "seen", operation_id = "getStats",
    responses((status = 200, description = "Since the start or the last reset", body = Stats)))]
pub async fn stats(stand_in: Data<StandIn>) -> Json<Stats> {
    let state = stand_in.state();
    Json(state.stats(Instant::now()))
}

/// Every request that was well made, in the order in which they came; the last million
#[utoipa::path(get, path = "/stats/arrivals", tag = "seen", operation_id = "getArrivals",
    responses((status = 200, description = "The requests", body = Vec<Arrival>)))]
pub async fn arrivals(stand_in: Data<StandIn>) -> Json<Vec<Arrival>> {
    Json(stand_in.state().arrivals())
}

/// Forget what was seen, also the period; what the provider was told stays
#[utoipa::path(post, path = "/reset", tag = "seen", operation_id = "reset",
    responses((status = 200, description = "What is counted from now on", body = Stats)))]
pub async fn reset(stand_in: Data<StandIn>) -> Json<Stats> {
    let mut state = stand_in.state();
    state.reset();
    Json(state.stats(Instant::now()))
}

/// How the provider behaves
#[utoipa::path(get, path = "/control", tag = "told", operation_id = "getControl",
    responses((status = 200, description = "As it was told", body = Control)))]
pub async fn control(stand_in: Data<StandIn>) -> Json<Control> {
    Json(stand_in.state().control().clone())
}

/// Tell the provider how to behave, from the next request on
#[utoipa::path(put, path = "/control", tag = "told", operation_id = "putControl", request_body = ControlChange,
    responses(
        (status = 200, description = "As it was told", body = Control),
        (status = 400, description = "Not JSON", body = ProblemView<'static>, content_type = "application/problem+json"),
        (status = 422, description = "A field that is unknown, or out of its range", body = ProblemView<'static>, content_type = "application/problem+json"),
    ))]
pub async fn obey(stand_in: Data<StandIn>, change: Json<ControlChange>) -> Result<Json<Control>, Problem> {
    let mut state = stand_in.state();
    state.obey(&change).map_err(|wrong| Code::InvalidControl.because(wrong))?;
    Ok(Json(state.control().clone()))
}

/// Does the provider take requests?
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "isReady",
    responses((status = 200, description = "It does, also while it is blocked or told to fail", body = Alive)))]
pub async fn ready() -> Json<Alive> {
    Json(Alive { status: "ready" })
}

/// Does the program live?
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "isAlive",
    responses((status = 200, description = "It does", body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}
