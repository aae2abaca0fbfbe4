//! The rows of a table with their outcomes, as JSON or CSV, [streamed](crate::http::streamed).

use std::collections::BTreeMap;
use std::io::{self, Write};

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::kinds::Kind;
use task_data::kinds::table::Row;
use task_data::store::RowFilter;
use task_data::tables::{TableReader, TableRow};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::input_of;
use crate::app::Api;
use crate::http::csv;
use crate::http::params::{Id, wrong};
use crate::http::wait::Wait;
use crate::http::problem::{self, Code, Problem};
use crate::http::streamed::{self, Format, JsonFormat, RowSource, accepts};
use crate::identity::access::Scope;
use crate::tasks;

const CSV: &str = "text/csv";
const CSV_UTF8: &str = "text/csv; charset=utf-8; header=present";

/// A row of a table
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableRow, example = example)]
pub struct RowView {
    /// Its number, counted from 1
    #[schema(value_type = u64)]
    row: i64,
    /// The row's content; null if it was never sent, and the task has ended
    #[schema(required)]
    input: Option<PostView>,
    /// The HTTP status of its answer; null before, and where none ever came
    #[schema(required)]
    status: Option<u16>,
    /// Its answer, as JSON or its text, or what was met instead of one; null before
    #[schema(value_type = Value, required)]
    reply: Option<Value>,
}

impl From<TableRow> for RowView {
    fn from(TableRow { row, input, status, reply }: TableRow) -> Self {
        let input = input.map(|Row { user_id, title, body }| PostView { user_id, title, body });
        Self { row, input, status, reply }
    }
}

/// The content that is sent for a row
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Post)]
#[serde(rename_all = "camelCase")]
pub struct PostView {
    #[schema(example = 1)]
    user_id: i64,
    #[schema(example = "A title")]
    title: String,
    #[schema(example = "A text")]
    body: String,
}

/// Which rows are wanted, and how
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RowParameters {
    /// Only those that were answered with this status, or `failed`: those that the third party did not take
    #[param(example = "201", pattern = "^([1-5][0-9][0-9]|failed)$")]
    status: Option<String>,
    /// `json`, `ndjson` or `csv`: what `Accept` says otherwise
    #[param(example = "json", pattern = "^(json|ndjson|csv)$")]
    format: Option<String>,
}

impl RowParameters {
    fn filter(&self) -> Result<RowFilter, Problem> {
        match self.status.as_deref() {
            None => Ok(RowFilter::All),
            Some("failed") => Ok(RowFilter::Failed),
            Some(text) => {
                let status =
                    text.parse().ok().filter(|status| text.len() == 3 && (100..600).contains(status));
                let why = "it is a number from 100 to 599, or `failed`";
                status.map(RowFilter::Status).ok_or_else(|| wrong("status", why))
            }
        }
    }

    fn row_format(&self, request: &HttpRequest) -> Result<RowFormat, Problem> {
        Ok(match self.format.as_deref() {
            Some("json") => RowFormat::Json(JsonFormat::Array),
            Some("ndjson") => RowFormat::Json(JsonFormat::Lines),
            Some("csv") => RowFormat::Csv,
            Some(_) => return Err(wrong("format", "it is `json`, `ndjson` or `csv`")),
            None if accepts(request, CSV) => RowFormat::Csv,
            None => RowFormat::Json(JsonFormat::wanted(request)),
        })
    }
}

/// Read the rows of a table, with their outcomes
///
/// In the order of the file, as they stand: also those that were not sent yet, unless a `status` is asked for. In CSV every cell is
/// quoted, and wherever a spreadsheet could take text for a formula (at a cell's start, or after a separator within it) `'` stands
/// before it. A stream that is cut off has no end.
#[utoipa::path(
    get, path = "/api/v1/tables/{id}/rows", tag = "tables", operation_id = "readTableRows",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), RowParameters),
    responses(
        (status = 200, description = "Rows", content(
            (Vec<RowView> = "application/json", example = json!([example()])),
            (RowView = "application/x-ndjson"),
            (String = "text/csv", example = "\"row\",\"userId\",\"title\",\"body\",\"status\",\"reply\"\r\n\"1\",\"1\",\"A title\",\"A text\",\"201\",\"{\"\"id\"\":101}\"\r\n"),
        )),
        RowProblems,
    ),
)]
pub async fn get(
    api: Data<Api>,
    scope: Scope,
    request: HttpRequest,
    id: Id,
    parameters: Query<RowParameters>,
) -> Result<HttpResponse, Problem> {
    let (filter, format) = (parameters.filter()?, parameters.row_format(&request)?);
    let task = tasks::redeemed(&api, scope, id, Wait::NONE, Some(Kind::Table)).await?;
    let reader = TableReader::new(api.store.clone(), api.blobs.clone(), task.id, &input_of(&task)?, filter);
    streamed::answer(&request, &api.table_answers, format.media_type(), format, reader).await
}

impl RowSource for TableReader {
    type Row = RowView;

    async fn chunk(&mut self) -> Result<Option<Vec<RowView>>, Problem> {
        let rows = TableReader::chunk(self).await?;
        Ok(rows.map(|rows| rows.into_iter().map(RowView::from).collect()))
    }
}

/// The format in which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowFormat {
    Json(JsonFormat),
    Csv,
}

impl RowFormat {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json(format) => format.media_type(),
            Self::Csv => CSV_UTF8,
        }
    }
}

impl Format<RowView> for RowFormat {
    fn begin(&self) -> &[u8] {
        match self {
            Self::Json(format) => Format::<RowView>::begin(format),
            Self::Csv => b"\"row\",\"userId\",\"title\",\"body\",\"status\",\"reply\"\r\n",
        }
    }

    fn write(&self, out: &mut impl Write, row: &RowView, is_first: bool) -> io::Result<()> {
        match self {
            Self::Json(format) => format.write(out, row, is_first),
            Self::Csv => write_csv(out, row),
        }
    }

    fn end(&self) -> &[u8] {
        match self {
            Self::Json(format) => Format::<RowView>::end(format),
            Self::Csv => b"",
        }
    }
}

fn write_csv(out: &mut impl Write, RowView { row, input, status, reply }: &RowView) -> io::Result<()> {
    let input = input.as_ref();
    let user_id = input.map(|input| input.user_id.to_string()).unwrap_or_default();
    let status = status.map(|status| status.to_string()).unwrap_or_default();
    let reply = reply.as_ref().map(Value::to_string).unwrap_or_default();
    let (title, body) = input.map_or(("", ""), |input| (&input.title, &input.body));
    csv::write_record(out, [&row.to_string(), &user_id, title, body, &status, &reply])
}

struct RowProblems;

impl IntoResponses for RowProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidId, InvalidParameter, Overloaded, TaskNotFound};
        problem::responses(&[InvalidId, InvalidParameter, TaskNotFound, DatabaseUnavailable, Overloaded])
    }
}

/// Returns a row that was sent, for OpenAPI.
fn example() -> Value {
    json!({
        "row": 1, "input": {"userId": 1, "title": "A title", "body": "A text"}, "status": 201,
        "reply": {"userId": 1, "title": "A title", "body": "A text", "id": 101},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_that_is_wrong_is_refused() {
        let filter = |query| Query::<RowParameters>::from_query(query).unwrap().filter();

        for wrong in ["status=", "status=99", "status=600", "status=%2B20", "status=5xx", "status=Failed"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        assert_eq!(filter("").unwrap(), RowFilter::All);
        assert_eq!(filter("status=201").unwrap(), RowFilter::Status(201));
        assert_eq!(filter("status=failed").unwrap(), RowFilter::Failed);
    }
}
