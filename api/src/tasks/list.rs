//! Lists of tasks: which of them to list, and in which pages.

use std::collections::BTreeMap;
use std::str::FromStr;

use accounts::user::UserId;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::store::{Filter, ListOrder, NAME_CHARS, Period, TaskCount, TaskPage};
use task_data::task::{Status, WorkerId};
use utoipa::openapi::schema::{Array, ArrayBuilder};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::{TaskView, example, kinds, statuses};
use crate::app::Api;
use crate::http::body::holding;
use crate::http::dates::Bound;
use crate::http::params::{page_limit, parsed, wrong};
use crate::http::permits::Client;
use crate::http::problem::{self, Code, Problem};
use crate::identity::access::Scope;

/// Bytes up to which sending a list counts as no load.
const SMALL: u64 = 64 << 10;
/// The number up to which tasks are counted, and are sorted where no index has their order.
const COUNTED: i64 = 10_000;
/// The most characters of a filter's word.
const WORD_CHARS: usize = 255;
/// The filters that are answered, in words.
const SERVED: &str = "`kind`, `status`, `owner`, `created_after` and `created_before` go with every filter. Of `worker`, `error_code`, `filename` \
                      and the pair `finished_after`, `finished_before` one may be given, or any with `owner`.";

/// A page of tasks
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = list_example)]
pub struct TaskList {
    tasks: Vec<TaskView>,
    /// The value of `after` for the next page; null on the last one
    #[schema(required)]
    next: Option<String>,
    /// With `total=true`: how many tasks the whole list has; null if not all of them were counted
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    total: Option<Option<i64>>,
    /// With `total=true`: how many tasks the list has at least, if not all of them were counted
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    total_at_least: Option<Option<i64>>,
}

/// Which tasks
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterParameters {
    /// Only tasks of these kinds; several with commas between
    #[param(schema_with = kind_list, explode = false)]
    kind: Option<String>,
    /// Only tasks with these statuses; several with commas between
    #[param(schema_with = status_list, explode = false)]
    status: Option<String>,
    /// Only tasks of the user with this id. Another user's are shown only to those who may see them
    #[param(value_type = Option<uuid::Uuid>)]
    owner: Option<String>,
    /// Only tasks that this worker runs now
    #[param(value_type = Option<uuid::Uuid>)]
    worker: Option<String>,
    /// Only tasks that failed with this code
    #[param(example = "worker-lost")]
    error_code: Option<String>,
    /// Only tasks with a file whose name begins so
    filename: Option<String>,
    /// Only tasks that were created at this time or later: RFC 3339, or a date
    #[param(value_type = Option<String>, format = DateTime)]
    created_after: Option<String>,
    /// Only tasks that were created before this time
    #[param(value_type = Option<String>, format = DateTime)]
    created_before: Option<String>,
    /// Only tasks that ended at this time or later. The list is in the order of the ends then
    #[param(value_type = Option<String>, format = DateTime)]
    finished_after: Option<String>,
    /// Only tasks that ended before this time. The list is in the order of the ends then
    #[param(value_type = Option<String>, format = DateTime)]
    finished_before: Option<String>,
}

/// Which page of a list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// The order of the list; newest if not given
    #[param(schema_with = orders)]
    order: Option<String>,
    /// Whether to count the tasks of the whole list, up to 10,000
    #[param(value_type = Option<bool>)]
    total: Option<String>,
    /// The most tasks to return; 100 if not given
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the page before
    after: Option<String>,
}

impl FilterParameters {
    /// The names of all filters.
    pub const NAMES: [&str; 10] = [
        "kind",
        "status",
        "owner",
        "worker",
        "error_code",
        "filename",
        "created_after",
        "created_before",
        "finished_after",
        "finished_before",
    ];

    /// Reads the filter.
    ///
    /// # Errors
    /// 400 for a value that can't be read; 422 for conditions that no index serves together.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let filter = Filter {
            kinds: words("kind", self.kind.as_deref())?,
            statuses: words("status", self.status.as_deref())?,
            owner: id("owner", self.owner.as_deref())?.map(UserId),
            worker: id("worker", self.worker.as_deref())?.map(WorkerId),
            error_code: word("error_code", self.error_code.as_deref())?,
            filename: word("filename", self.filename.as_deref())?,
            created: period("created", self.created_after.as_deref(), self.created_before.as_deref())?,
            finished: period("finished", self.finished_after.as_deref(), self.finished_before.as_deref())?,
            ..Filter::default()
        };
        let only =
            |statuses: &[Status], why: &str| match filter.statuses.iter().all(|own| statuses.contains(own)) {
                true => Ok(()),
                false => Err(Code::UnservedFilter.because(format!("{why} {SERVED}"))),
            };
        if filter.worker.is_some() {
            only(&[Status::Running], "`worker` goes only with the status `running`.")?;
        }
        if filter.error_code.is_some() {
            only(&[Status::Failed], "`error_code` goes only with the status `failed`.")?;
        }
        if filter.finished.is_bounded() {
            let why = "`finished_after` and `finished_before` go only with the statuses of ended tasks.";
            only(&[Status::Succeeded, Status::Failed, Status::Cancelled], why)?;
        }
        Ok(filter)
    }
}

impl ListParameters {
    /// Adds the page to a filter.
    fn page_of(&self, filter: Filter) -> Result<Filter, Problem> {
        let limit = page_limit(self.limit.as_deref())?;
        let order: Option<ListOrder> = parsed("order", self.order.as_deref())?;
        let wrong_place = || wrong("after", "it is the `next` of another page");
        let after = parsed("after", self.after.as_deref()).map_err(|_| wrong_place())?;
        // A list in the order of the ends has the time of the end in its places, another list has not.
        let is_of_this_list = after.is_none_or(|after: task_data::store::ListPlace| {
            after.finished.is_some() == filter.finished.is_bounded()
        });
        if !is_of_this_list {
            return Err(wrong_place());
        }
        Ok(Filter { limit, after, order: order.unwrap_or_default(), ..filter })
    }

    fn wants_total(&self) -> Result<bool, Problem> {
        let total = self.total.as_deref().map_or(Ok(false), str::parse);
        total.map_err(|_| wrong("total", "it is true or false"))
    }
}

/// Reads words with commas between them.
fn words<T: FromStr<Err: ToString>>(name: &str, text: Option<&str>) -> Result<Vec<T>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    text.split(',').map(|word| word.parse().map_err(|error: T::Err| wrong(name, error.to_string()))).collect()
}

fn id(name: &str, text: Option<&str>) -> Result<Option<uuid::Uuid>, Problem> {
    let id = text.map(str::parse).transpose();
    id.map_err(|_| wrong(name, "it is a UUID of 36 characters"))
}

/// Reads a text that is compared with those of rows.
fn word(name: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let is_one =
        |text: &str| (1..=WORD_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match text {
        Some(text) if !is_one(text) => {
            Err(wrong(name, format!("it is a text of 1 to {WORD_CHARS} visible characters")))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn period(name: &str, after: Option<&str>, before: Option<&str>) -> Result<Period, Problem> {
    let read = |which: &str, text| Bound::From.read(&format!("{name}_{which}"), text);
    Ok(Period { from: read("after", after)?, before: read("before", before)? })
}

/// List tasks
///
/// Newest first, by the time of their creation, or of their end where that is filtered. A page has at most `limit` tasks. It ends earlier
/// where they have 2 MiB together, and where 10,000 tasks were looked at: it may even be empty. `next` tells whether there are more. Of
/// tasks whose upload took over a day, some may be missing where the time of creation is filtered.
///
/// `kind`, `status`, `owner`, `created_after` and `created_before` go with every filter. Of `worker`, `error_code`, `filename` and the pair
/// `finished_after`, `finished_before` one may be given, or any with `owner`; else the answer is 422.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "listTasks", params(FilterParameters, ListParameters),
    responses((status = 200, description = "A page of tasks", body = TaskList), TaskListProblems),
)]
pub async fn list(
    api: Data<Api>,
    scope: Scope,
    request: HttpRequest,
    filter: Query<FilterParameters>,
    parameters: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let filter = parameters.page_of(filter.filter()?)?;
    page(&api, scope, &request, filter, parameters.wants_total()?).await
}

/// Returns a page of the tasks that the scope includes and the filter selects, and their number if it is wanted.
///
/// # Errors
/// The store's; 422 for conditions that no index serves together; 503 if too many other requests read lists.
pub async fn page(
    api: &Api,
    scope: Scope,
    request: &HttpRequest,
    filter: Filter,
    wants_total: bool,
) -> Result<HttpResponse, Problem> {
    let permit = api.list_answers.take(Client::of(request, scope.owner())).await;
    let permit = permit.ok_or_else(|| Code::Overloaded.because("Too many lists are being read."))?;
    let list = match scope.narrowed(filter) {
        Some(filter) => read(api, filter, wants_total).await?,
        None => {
            let none = TaskCount { count: 0, is_exact: true };
            told(TaskPage { tasks: Vec::new(), next: None }, wants_total.then_some(none))
        }
    };
    let response = HttpResponse::Ok().json(list);
    Ok(match response.body().size() {
        BodySize::Sized(bytes) if bytes <= SMALL => response,
        _ => response.map_body(|_, body| holding(body, permit)),
    })
}

async fn read(api: &Api, filter: Filter, wants_total: bool) -> Result<TaskList, Problem> {
    need_to_be_served(api, &filter).await?;
    let total = match wants_total {
        true => Some(api.life.count(filter.clone(), COUNTED).await?),
        false => None,
    };
    Ok(told(api.life.list(filter).await?, total))
}

fn told(TaskPage { tasks, next }: TaskPage, total: Option<TaskCount>) -> TaskList {
    TaskList {
        tasks: tasks.into_iter().map(TaskView::from).collect(),
        next: next.map(|next| next.to_string()),
        total: total.map(|total| total.is_exact.then_some(total.count)),
        total_at_least: total.map(|total| (!total.is_exact).then_some(total.count)),
    }
}

/// Checks that an index serves the filter. An owner's tasks have an index in the order of the list, along which the rest is compared.
///
/// # Errors
/// 422 if none does.
pub async fn need_to_be_served(api: &Api, filter: &Filter) -> Result<(), Problem> {
    let Filter { owner, worker, error_code, filename, finished, .. } = filter;
    if owner.is_some() {
        return Ok(());
    }
    let narrow = [worker.is_some(), error_code.is_some(), filename.is_some(), finished.is_bounded()];
    if narrow.into_iter().filter(|is_given| *is_given).count() > 1 {
        return Err(Code::UnservedFilter.because(SERVED));
    }
    if let Some(name) = filename {
        let start = Some(name.chars().take(NAME_CHARS).collect());
        let named = api.life.count(Filter { filename: start, ..Filter::default() }, COUNTED).await?;
        if !named.is_exact {
            return Err(Code::UnservedFilter.because(format!(
                "`filename`: over {COUNTED} names have the same first {NAME_CHARS} characters or fewer. Give more of the name, or `owner`."
            )));
        }
    }
    Ok(())
}

struct TaskListProblems;

impl IntoResponses for TaskListProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidParameter, Overloaded, UnservedFilter};
        problem::responses(&[InvalidParameter, UnservedFilter, DatabaseUnavailable, Overloaded])
    }
}

fn kind_list() -> Array {
    ArrayBuilder::new().items(kinds()).build()
}

fn status_list() -> Array {
    ArrayBuilder::new().items(statuses()).build()
}

fn orders() -> utoipa::openapi::schema::Object {
    super::words("The order of a list", ["newest", "oldest"])
}

fn list_example() -> Value {
    json!({"tasks": [example()], "next": example()["id"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    use task_data::kinds::Kind;

    fn read(query: &str) -> Result<Filter, Problem> {
        let filter = Query::<FilterParameters>::from_query(query).unwrap().filter()?;
        Query::<ListParameters>::from_query(query).unwrap().page_of(filter)
    }

    #[test]
    fn a_list_is_refused_for_each_parameter_that_is_wrong() {
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=1e9",
            "limit=abc",
            "after=abc",
            "after=1.0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d",
            "finished_after=2026-01-02&after=0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d",
            "kind=x",
            "kind=",
            "kind=md5,",
            "status=x",
            "status=failed,,",
            "owner=ada",
            "worker=1",
            "error_code=",
            "error_code=%00",
            "filename=%0a",
            "created_after=now",
            "finished_before=1",
            "order=up",
        ] {
            assert!(read(query).is_err_and(|problem| problem.is(Code::InvalidParameter)), "{query}");
        }
        let worker = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
        for query in [
            &*format!("worker={worker}&status=pending"),
            "error_code=io&status=failed,cancelled",
            "finished_after=2026-01-02&status=failed,running",
        ] {
            assert!(read(query).is_err_and(|problem| problem.is(Code::UnservedFilter)), "{query}");
        }
    }

    #[test]
    fn a_list_has_what_its_parameters_say() {
        let filter = read("limit=1000&kind=md5,table&status=failed&order=oldest&filename=a").unwrap();
        assert_eq!((filter.limit, filter.order), (1000, ListOrder::Oldest));
        assert_eq!(
            (&*filter.kinds, &*filter.statuses),
            (&[Kind::Md5, Kind::Table][..], &[Status::Failed][..])
        );
        assert_eq!(filter.filename.as_deref(), Some("a"));
        let place = "1767323045678901.0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
        let after = read(&format!("finished_before=2026-01-02&after={place}")).unwrap().after.unwrap();
        assert_eq!(after.to_string(), place);
    }
}
