//! `/api/v1/outcomes`: every ended task, in one order for all readers, in pages and as Server-Sent Events.
//!
//! All readers of a process that have come to the end of the feed share one reading of the rows.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::OutcomeReader;
use task_data::kinds::RowKind;
use task_data::store::{Outcome, Place};
use task_data::task::{Status, TaskId, Time};
use tokio::time::{sleep, timeout};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::holding;
use crate::http::params::{page_limit, wrong};
use crate::http::permits::{Client, Permit};
use crate::http::problem::{self, Code, Problem};
use crate::http::wait::Wait;
use crate::identity::access::Scope;
use crate::tasks::event_stream::{self, LAST_EVENT_ID, RETRY, STILL_HERE};
use crate::tasks::{kinds, statuses};

/// The most outcomes of a page that counts as no load, some 24 KiB; a larger one takes a permit.
const SMALL_PAGE: usize = 100;
/// The most outcomes that are sent together as events, some 16 KiB.
const TOGETHER: usize = 64;
/// How long outcomes of one owner are looked for among those of others. The next request goes on.
const LONGEST: Duration = Duration::from_secs(5);

/// The outcome of an ended task
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outcome, example = example)]
pub struct OutcomeView {
    /// The outcome's place among all outcomes: the value of `after` for those that follow
    cursor: String,
    /// The ticket: a UUIDv7
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    #[schema(schema_with = kinds)]
    kind: RowKind,
    #[schema(schema_with = statuses)]
    status: Status,
    /// When the task ended
    #[schema(value_type = String, format = DateTime)]
    finished: Time,
    /// The digest, the provider that was used, the numbers of rows, the error code, or `-` for a cancelled task; null if only a newer version
    /// of the service knows it
    #[schema(required)]
    detail: Option<String>,
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        let Outcome { place, id, kind, status, finished, detail, .. } = outcome;
        Self { cursor: place.to_string(), id, kind, status, finished, detail }
    }
}

/// Outcomes, oldest first
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = page_example)]
pub struct OutcomeList {
    outcomes: Vec<OutcomeView>,
    /// The value of `after` for the next request
    next: String,
}

/// Which outcomes to return
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OutcomeParameters {
    /// The `next` of the answer before, or the `cursor` of an outcome; `now` begins with what ends from now on; without it the answer begins
    /// with the oldest outcome that is kept
    after: Option<String>,
    /// The most outcomes to return; 100 if not given
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

/// Where to begin
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventParameters {
    /// As for the list of outcomes; `Last-Event-ID` comes first
    after: Option<String>,
}

/// Read outcomes, oldest first
///
/// Every task that ends has one outcome, in one order for all readers and without gaps: a client that asks again with the `next` that it
/// received gets every outcome exactly once. With `wait` the answer comes as soon as there is an outcome, or after that many seconds without
/// one. Owners see outcomes of their own tasks, viewers, operators and admins all. If outcomes after the cursor were deleted, the answer is 410 with the cursor
/// `oldest` to go on with.
#[utoipa::path(
    get, path = "/api/v1/outcomes", tag = "outcomes", operation_id = "readOutcomes", params(OutcomeParameters, Wait),
    responses((status = 200, description = "Outcomes", body = OutcomeList), OutcomeProblems),
)]
pub async fn list(
    api: Data<Api>,
    scope: Scope,
    request: HttpRequest,
    parameters: Query<OutcomeParameters>,
    Wait(wait): Wait,
) -> Result<HttpResponse, Problem> {
    let limit = page_limit(parameters.limit.as_deref())? as usize;
    let client = Client::of(&request, scope.owner());
    let _reader = place_of_reader(&api, client).await?;
    let mut reader = reader(&api, scope, parameters.after.as_deref()).await?;
    let (mut outcomes, mut permit) = (Vec::new(), None);
    if limit > SMALL_PAGE {
        permit = Some(api.list_answers.take(client).await.ok_or_else(|| busy("lists"))?);
    }
    if limit > SMALL_PAGE || wait.is_zero() {
        outcomes = timeout(LONGEST, reader.page(limit)).await.unwrap_or_else(|_| Ok(Vec::new()))?;
    }
    if outcomes.is_empty() && !wait.is_zero() {
        permit = None;
        outcomes = tokio::select! {
            outcomes = reader.next_page(limit.min(SMALL_PAGE)) => outcomes?,
            () = sleep(wait) => Vec::new(),
            // Waiting requests are answered when the server begins to stop.
            () = api.draining() => Vec::new(),
        };
    }
    let next = reader.place().to_string();
    let outcomes = outcomes.into_iter().map(OutcomeView::from).collect();
    let response = HttpResponse::Ok().json(OutcomeList { outcomes, next });
    Ok(match permit {
        Some(permit) => response.map_body(|_, body| holding(body, permit)),
        None => response,
    })
}

/// Follow outcomes
///
/// Each event's data is an outcome, and its id the outcome's cursor: those after the given one at once, and each further one when its task
/// ends. The stream has no end but that of the server or your session; a client that reconnects with `Last-Event-ID` gets every outcome
/// exactly once.
#[utoipa::path(
    get, path = "/api/v1/outcomes/events", tag = "outcomes", operation_id = "followOutcomes",
    params(
        EventParameters,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen; browsers send it"),
    ),
    responses(
        (status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream",
         example = "id: 17-2\ndata: {\"cursor\":\"17-2\",\"id\":\"0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d\",\"status\":\"succeeded\",…}\n\n"),
        OutcomeProblems,
    ),
)]
pub async fn events(
    api: Data<Api>,
    scope: Scope,
    request: HttpRequest,
    parameters: Query<EventParameters>,
) -> Result<HttpResponse, Problem> {
    let place = place_of_reader(&api, Client::of(&request, scope.owner())).await?;
    let last_seen = request.headers().get(LAST_EVENT_ID).filter(|last| !last.is_empty());
    let last_seen = last_seen.map(|last| last.to_str().map_err(|_| not_a_cursor("Last-Event-ID")));
    let after = last_seen.transpose()?.or(parameters.after.as_deref());
    let reader = reader(&api, scope, after).await?;
    let events = events_of(api.clone(), reader, place);
    Ok(event_stream::answer(api, &request, events))
}

/// Returns events for outcomes as they come; holds the reader's place as long.
fn events_of(
    api: Data<Api>,
    reader: OutcomeReader,
    place: Permit,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let begin = Some(Bytes::from_static(RETRY.as_bytes()));
    stream::unfold((begin, reader, place), move |(begin, mut reader, place)| {
        let api = api.clone();
        async move {
            if let Some(begin) = begin {
                return Some((Ok(begin), (None, reader, place)));
            }
            let (pause, still_here) = STILL_HERE;
            let text = tokio::select! {
                outcomes = reader.next_page(TOGETHER) => match outcomes {
                    Ok(outcomes) => events_text(outcomes),
                    // The stream is cut, and the client comes again with its cursor.
                    Err(error) => Err(error.into()),
                },
                () = sleep(pause) => Ok(Bytes::from_static(still_here.as_bytes())),
                () = api.draining() => return None,
            };
            Some((text, (None, reader, place)))
        }
    })
}

fn events_text(outcomes: Vec<Outcome>) -> Result<Bytes, Problem> {
    let mut text = String::new();
    for outcome in outcomes.into_iter().map(OutcomeView::from) {
        let json = serde_json::to_string(&outcome).map_err(|error| Problem::internal(&error))?;
        text.push_str(&format!("id: {}\ndata: {json}\n\n", outcome.cursor));
    }
    Ok(text.into())
}

/// Takes one of the places of readers that may wait in this process.
async fn place_of_reader(api: &Api, client: Client) -> Result<Permit, Problem> {
    api.outcome_readers.take(client).await.ok_or_else(|| busy("outcomes"))
}

fn busy(what: &str) -> Problem {
    Code::Overloaded.because(format!("Too many {what} are being read."))
}

fn not_a_cursor(name: &str) -> Problem {
    wrong(name, "it is the `next` of an answer, the `cursor` of an outcome, or `now`")
}

/// Begins to read the scope's outcomes after a cursor.
///
/// # Errors
/// 400 if it is not a cursor, 410 if outcomes after it were deleted.
async fn reader(api: &Api, scope: Scope, after: Option<&str>) -> Result<OutcomeReader, Problem> {
    let outcomes = api.life.outcomes();
    let place = match after {
        Some("now") => outcomes.now().await?,
        Some(text) => {
            let place: Place = text.parse().map_err(|_| not_a_cursor("after"))?;
            if !outcomes.has_in_memory(place) {
                let oldest = outcomes.oldest().await?;
                if place < oldest {
                    return Err(Problem::outcome_expired(oldest));
                }
            }
            place
        }
        None => outcomes.oldest().await?,
    };
    Ok(outcomes.reader(place, scope.owner()))
}

struct OutcomeProblems;

impl IntoResponses for OutcomeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidParameter, OutcomeExpired, Overloaded};
        problem::responses(&[InvalidParameter, OutcomeExpired, DatabaseUnavailable, Overloaded])
    }
}

fn example() -> Value {
    json!({
        "cursor": "17-2", "id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "kind": "md5", "status": "succeeded",
        "finished": "2026-01-02T03:04:05.681003Z", "detail": "900150983cd24fb0d6963f7d28e17f72",
    })
}

fn page_example() -> Value {
    json!({"outcomes": [example()], "next": "17-2"})
}
