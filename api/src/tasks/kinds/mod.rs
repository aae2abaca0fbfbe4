//! The kinds of tasks, each with its own addresses.

use actix_web::web::ServiceConfig;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;

/// Generates the API's part of each kind. A kind's module has its `Input` and `Output` as they are described, the `routes` to
/// its handlers, and their `Description`.
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

        /// Adds every kind's addresses.
        pub fn routes(config: &mut ServiceConfig) {
            $($module::routes(config);)+
        }

        /// Adds to the description what is said of every kind's addresses.
        pub fn describe(document: &mut OpenApi) {
            $(document.merge(<$module::Description as utoipa::OpenApi>::openapi());)+
        }
    };
}

kinds! {
    // Before the one that has fewer fields of the same names.
    Table in table;
    Md5 in md5;
    Message in message;
}
