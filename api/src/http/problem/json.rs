//! A problem in JSON (RFC 9457).

use serde::Serialize;
use task_data::kinds::table::check::{CellError, Column, Errors};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Code;

/// A problem in JSON (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView<'a> {
    /// The kind of problem, as a URI
    #[schema(example = "urn:coatcheck:problem:task-not-found")]
    r#type: String,
    /// The meaning, for people
    #[schema(example = "This task does not exist.")]
    title: &'static str,
    /// The HTTP status
    #[schema(example = 404)]
    status: u16,
    code: Code,
    /// Details of this very case
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Errors in the table, the first 100
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<CellErrorView>, required = false)]
    errors: Option<Vec<CellErrorView<'a>>>,
    /// The number of all errors in the table
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = false)]
    total: Option<u64>,
    /// The cursor to go on with, where outcomes after the one that was sent were deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "17-0")]
    oldest: Option<&'a str>,
    /// The id of the request in the server's log
    #[schema(required)]
    request_id: Option<Uuid>,
}

/// An error in a cell of a table
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CellError)]
pub struct CellErrorView<'a> {
    /// Counted from 1, 0 is the header; empty lines don't count
    #[schema(example = 1)]
    row: u64,
    /// The column's name, or its number if the table has no such column
    column: ColumnView,
    /// For people
    #[schema(example = "expected a 64-bit integer, got \"1.0\"")]
    reason: &'a str,
    /// The line of the file that the row begins on, counted from 1
    #[schema(example = 2)]
    line: u64,
}

impl<'a> From<&'a CellError> for CellErrorView<'a> {
    fn from(CellError { row, column, reason, line }: &'a CellError) -> Self {
        let column = match column {
            Column::Name(name) => ColumnView::Name(name),
            Column::Number(number) => ColumnView::Number(*number as u64),
        };
        Self { row: *row, column, reason, line: *line }
    }
}

/// The column of a cell
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Column)]
#[serde(untagged)]
pub enum ColumnView {
    Name(&'static str),
    Number(u64),
}

impl<'a> ProblemView<'a> {
    pub(super) fn new(
        code: Code,
        detail: Option<&'a str>,
        errors: Option<&'a Errors>,
        oldest: Option<&'a str>,
        request_id: Option<Uuid>,
    ) -> Self {
        let r#type = format!("urn:coatcheck:problem:{}", code.word());
        let (title, status) = (code.title(), code.status().as_u16());
        let total = errors.map(|errors| errors.total);
        let errors = errors.map(|errors| errors.first.iter().map(CellErrorView::from).collect());
        Self { r#type, title, status, code, detail, errors, total, oldest, request_id }
    }
}
