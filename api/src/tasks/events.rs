//! `/api/v1/tasks/{id}/events`: a task's changes as Server-Sent Events (HTML, 9.2).
//!
//! At most one event waits for a client to read it: the next one is made when there is room for it, from the task's state at that time. All
//! clients of a process share one reading of the rows.
//!
//! A browser reconnects after a stream has ended, until it gets 204 (HTML, 9.2.3). So each event has an id, and a client that has the final
//! one gets 204.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, stream};
use task_data::Watch;
use task_data::task::Task;
use tokio::time::sleep;

use crate::app::Api;
use crate::http::params::Id;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Scope;
use crate::tasks::event_stream::{self, LAST_EVENT_ID, RETRY, STILL_HERE};
use crate::tasks::{FindProblems, TaskView};

/// Follow a task
///
/// Each event's data is the whole task: one at once, one at each change. The stream ends after the final one; a server
/// that stops ends it too, and so does the end of your session. A client that has seen the final event, and says so by
/// `Last-Event-ID`, gets 204.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/events", tag = "tasks", operation_id = "followTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The ticket"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen; browsers send it"),
    ),
    responses(
        (status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream",
         example = "id: 1-running\ndata: {\"id\":\"0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d\",\"status\":\"running\",…}\n\n"),
        (status = 204, description = "The final event was seen already"),
        FindProblems,
    ),
)]
pub async fn events(
    api: Data<Api>,
    scope: Scope,
    Id(id): Id,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // Subscribes before it reads the row, so that no change is lost between.
    let mut watch = api.life.watch(id);
    let task = watch.now().await?.filter(|task| scope.has(task)).ok_or(Code::TaskNotFound)?;
    let is_final = task.status.is_ended();
    let last_seen = request.headers().get(LAST_EVENT_ID);
    if is_final && last_seen.is_some_and(|last| last.as_bytes() == event_id(&task).as_bytes()) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let first = Bytes::from(format!("{RETRY}{}", event(task)?));
    let then = (!is_final).then_some(watch);
    Ok(event_stream::answer(api.clone(), &request, changes(api, first, then)))
}

/// Returns the first event, and those that follow while there is a watch.
fn changes(api: Data<Api>, first: Bytes, watch: Option<Watch>) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold((Some(first), watch), move |(first, watch)| {
        let api = api.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok(first), (None, watch)));
            }
            let mut watch = watch?;
            let (pause, still_here) = STILL_HERE;
            tokio::select! {
                changed = watch.changed() => {
                    let task = changed?;
                    let watch = (!task.status.is_ended()).then_some(watch);
                    Some((event(task).map(Bytes::from), (None, watch)))
                }
                () = sleep(pause) => Some((Ok(Bytes::from_static(still_here.as_bytes())), (None, Some(watch)))),
                () = api.draining() => None,
            }
        }
    })
}

fn event(task: Task) -> Result<String, Problem> {
    let id = event_id(&task);
    let json = serde_json::to_string(&TaskView::from(task)).map_err(|error| Problem::internal(&error))?;
    Ok(format!("id: {id}\ndata: {json}\n\n"))
}

/// Returns an id of the task's state: its attempt and status, which no longer change once it is final.
fn event_id(task: &Task) -> String {
    format!("{}-{}", task.attempt, task.status.name())
}
