//! The kinds of tasks, each with its own addresses.

use task_data::kinds::Kind;
use utoipa::ToSchema;
use utoipa::openapi::Tag;
use utoipa::openapi::tag::TagBuilder;

use crate::route::Route;

/// Generates the API's part of each kind. The module of a kind has its `Input` and `Output` for the description, its `routes`, and the
/// `TAG` under which the description has them.
macro_rules! kinds {
    ($($kind:ident in $module:ident;)+) => {
        $(pub mod $module;)+

        /// The input of a task, by its kind
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes JSON")]
        #[serde(untagged)]
        pub enum TaskInput {
            $($kind($module::Input),)+
        }

        /// The result of a task, by its kind
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes JSON")]
        #[serde(untagged)]
        pub enum TaskOutput {
            $($kind($module::Output),)+
        }

        /// Returns the name and the meaning of a kind's tag. A kind without a line below does not compile.
        const fn tag(kind: Kind) -> (&'static str, &'static str) {
            match kind {
                $(Kind::$kind => $module::TAG,)+
            }
        }

        /// Returns the routes of every kind.
        pub fn routes() -> Vec<Route> {
            let mut routes = Vec::new();
            $(routes.extend($module::routes());)+
            routes
        }
    };
}

kinds! {
    // Before the kind that has fewer fields of the same names.
    Table in table;
    Md5 in md5;
    Message in message;
    Bulk in bulk;
}

/// Returns the tag of each kind.
pub fn tags() -> impl Iterator<Item = Tag> {
    Kind::ALL
        .map(tag)
        .into_iter()
        .map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;
    use serde_json::{Value, json};
    use task_data::kinds;
    use utoipa::PartialSchema;
    use uuid::Uuid;

    use super::*;

    fn keys(object: &Value) -> BTreeSet<String> {
        object.as_object().unwrap().keys().cloned().collect()
    }

    /// Checks that the description has exactly the fields that are written.
    fn describes<D: PartialSchema>(written: impl Serialize) {
        assert_eq!(keys(&json!(D::schema())["properties"]), keys(&json!(written)));
    }

    #[test]
    fn what_is_described_of_a_kind_is_what_it_writes() {
        let (filename, content_type) = (Some("a".to_owned()), Some("text/plain".to_owned()));
        let digest = kinds::md5::Md5Digest([0; 16]);
        describes::<md5::Input>(kinds::md5::Input {
            filename: filename.clone(),
            size: 1,
            content_type: content_type.clone(),
            expected: Some(digest),
        });
        let comparison = kinds::md5::Comparison { expected: digest, matches: true };
        describes::<md5::Output>(kinds::md5::Output { md5: digest, comparison: Some(comparison) });

        let (text, provider) = ("a".parse().unwrap(), kinds::message::Choice::Free);
        describes::<message::Input>(kinds::message::Input { text, provider, may_pay: true });
        let provider = kinds::message::Provider::Free;
        describes::<message::Output>(kinds::message::Output { provider, reply: json!("a") });

        let source = kinds::table::Source { table: Uuid::nil(), first: Uuid::nil(), first_rows: 1 };
        describes::<table::TableSource>(source);
        describes::<table::Input>(kinds::table::Input {
            filename,
            size: 1,
            rows: 1,
            content_type,
            source: Some(source),
        });
        describes::<table::Output>(kinds::table::Output { rows: 1, failed: 0 });
    }
}
