//! Path and query parameters: ids, pages of lists, and errors in them.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use task_data::task::TaskId;

use crate::http::problem::{Code, Problem};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;

/// Reads how long a page is from a query's `limit`: from 1 to 1000, 100 without it.
///
/// # Errors
/// 400 if it can't be read.
pub fn page_limit(limit: Option<&str>) -> Result<i64, Problem> {
    let limit = limit.map_or(Ok(DEFAULT_LIMIT), str::parse);
    let limit = limit.ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| wrong("limit", format!("it is a number from 1 to {MAX_LIMIT}")))
}

/// Reads where a page of a list begins and how long it is from a query's `limit` and `after`.
///
/// # Errors
/// 400 if they can't be read.
pub fn page_parameters(limit: Option<&str>, after: Option<&str>) -> Result<(i64, Option<TaskId>), Problem> {
    let limit = page_limit(limit)?;
    let after = parsed("after", after).map_err(|_| wrong("after", "it is the `next` of another page"))?;
    Ok((limit, after))
}

/// Parses a value of the query, if there is one.
///
/// # Errors
/// 400 with the reason why it can't be read.
pub fn parsed<T: FromStr<Err: ToString>>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse).transpose().map_err(|error: T::Err| wrong(name, error.to_string()))
}

/// Returns the problem for a query's value that can't be read.
pub fn wrong(name: &str, why: impl AsRef<str>) -> Problem {
    Code::InvalidParameter.because(format!("`{name}`: {}.", why.as_ref()))
}

/// The id in a request's path.
#[derive(Debug, Clone, Copy)]
pub struct Id(pub TaskId);

impl FromRequest for Id {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().query("id").parse();
        ready(id.map(Self).map_err(|_| Code::InvalidId.because("An id is a UUID of 36 characters.")))
    }
}

/// Returns the problem for a query that does not consist of name=value pairs, or has a name twice.
pub fn unreadable(error: actix_web::error::QueryPayloadError) -> Problem {
    Code::InvalidParameter.because(format!("The query can't be read: {error}"))
}
