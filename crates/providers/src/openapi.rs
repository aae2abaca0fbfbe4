//! `/openapi.json` and Swagger UI at `/docs/`, of what stands beside the calls. All of it is in the program.

use utoipa::{OpenApi, openapi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::call;
use crate::problem::{Code, ProblemView};
use crate::provider::Provider;

/// Where the description is found.
const PATH: &str = "/openapi.json";

/// What all have in common.
#[derive(OpenApi)]
#[openapi(
    paths(call::stats, call::arrivals, call::reset, call::control, call::obey, call::alive, call::ready),
    components(schemas(Code, ProblemView<'static>)),
    tags(
        (name = "provider", description = "What the service does"),
        (name = "seen", description = "What the stand-in has seen"),
        (name = "told", description = "How the stand-in behaves"),
        (name = "health", description = "For those who run the server"),
    ),
)]
struct Common;

#[derive(OpenApi)]
#[openapi(paths(call::process))]
struct Texts;

#[derive(OpenApi)]
#[openapi(paths(call::post))]
struct Rows;

/// Swagger UI of that provider, and its description with it. Nothing is asked of anyone else's server.
pub fn docs(provider: Provider) -> SwaggerUi {
    let config = Config::from(PATH).try_it_out_enabled(true).display_request_duration(true);
    SwaggerUi::new("/docs/{file:.*}").config(config.validator_url("none")).url(PATH, document(provider))
}

fn document(provider: Provider) -> openapi::OpenApi {
    let (mut document, title, description) = match provider {
        Provider::Free => (
            Texts::openapi(),
            "Free provider",
            "It takes so many requests; with the last of them a block begins, after which the count begins anew.",
        ),
        Provider::Paid => (Texts::openapi(), "Paid provider", "It takes every request."),
        Provider::ThirdParty => (Rows::openapi(), "Third party", "It takes rows of tables, and keeps none."),
    };
    document.merge(Common::openapi());
    let about =
        "A stand-in for an outside service. It counts what comes, and can be told to be slow or to fail.";
    title.clone_into(&mut document.info.title);
    document.info.description = Some(format!("{about}\n\n{description}"));
    document
}
