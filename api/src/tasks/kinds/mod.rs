//! The kinds of tasks, each with its own addresses.

use utoipa::ToSchema;

use crate::route::Route;

/// Generates the API's part of each kind. A kind's module has its `Input` and `Output` as they are described, and its
/// `routes`.
macro_rules! kinds {
    ($($kind:ident in $module:ident;)+) => {
        $(pub mod $module;)+

        /// What was handed in, by its kind
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes JSON")]
        #[serde(untagged)]
        pub enum TaskInput {
            $($kind($module::Input),)+
        }

        /// What came of it, by its kind
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes JSON")]
        #[serde(untagged)]
        pub enum TaskOutput {
            $($kind($module::Output),)+
        }

        /// Every kind's routes.
        pub fn routes() -> Vec<Route> {
            let mut routes = Vec::new();
            $(routes.extend($module::routes());)+
            routes
        }
    };
}

kinds! {
    // Before the one that has fewer fields of the same names.
    Table in table;
    Md5 in md5;
    Message in message;
}
