//! Problems as OpenAPI describes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use task_data::kinds::table::check::{CellError, Errors};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use uuid::Uuid;

use super::{Code, PROBLEM_JSON, ProblemView};

/// Returns the OpenAPI responses of an operation that may fail with these codes: a response per status, an example per code.
pub fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), response(&codes).into())).collect()
}

fn response(codes: &[Code]) -> Response {
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.word())).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for code in codes {
        let example = ExampleBuilder::new().summary(code.title()).value(Some(example(*code)));
        content = content.examples_from_iter([(code.word(), example.build())]);
    }
    ResponseBuilder::new().description(names.join(", ")).content(PROBLEM_JSON, content.build()).build()
}

fn example(code: Code) -> Value {
    let request_id = Uuid::from_u128(0x5a1c_9d1e_6a0b_4f6e_9d3c_2b8f_1a7e_4c55);
    let reason = "expected a 64-bit integer, got \"1.0\"".to_owned();
    let errors = Errors { first: vec![CellError { row: 1, column: 0.into(), reason, line: 2 }], total: 1 };
    let errors = (code == Code::InvalidTable).then_some(errors);
    let oldest = match code {
        Code::OutcomeExpired => Some("17-0"),
        Code::RecordExpired => Some("6b3f0d0e-6f0b-4c36-8d1c-2f1c4a1b7a10"),
        _ => None,
    };
    json!(ProblemView::new(code, None, errors.as_ref(), oldest, Some(request_id)))
}
