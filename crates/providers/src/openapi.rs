//! `/openapi.json` and Swagger UI at `/docs/`, with the calls and the controls. All files are part of the program.

use utoipa::{OpenApi, openapi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::call;
use crate::problem::{Code, ProblemView};
use crate::provider::Provider;

/// The path of the description.
const PATH: &str = "/openapi.json";

/// The operations that all providers share.
#[derive(OpenApi)]
#[openapi(
    paths(call::stats, call::arrivals, call::reset, call::control, call::obey, call::alive, call::ready),
    components(schemas(Code, ProblemView<'static>)),
    tags(
        (name = "provider", description = "The service's work"),
        (name = "seen", description = "Requests that the stand-in has received"),
        (name = "told", description = "How the stand-in behaves"),
        (name = "health", description = "For operators of the server"),
    ),
)]
struct Common;

#[derive(OpenApi)]
#[openapi(paths(call::process))]
struct Texts;

#[derive(OpenApi)]
#[openapi(paths(call::post))]
struct Rows;

/// Returns Swagger UI and the description of that provider. They load nothing from other servers.
pub fn docs(provider: Provider) -> SwaggerUi {
    let config = Config::from(PATH).try_it_out_enabled(true).display_request_duration(true);
    SwaggerUi::new("/docs/{file:.*}").config(config.validator_url("none")).url(PATH, document(provider))
}

fn document(provider: Provider) -> openapi::OpenApi {
    let (mut document, title, description) = match provider {
        Provider::Free => (
            Texts::openapi(),
            "Free provider",
            "It accepts a number of requests; the last of them begins a block, after which the count starts again.",
        ),
        Provider::Paid => (Texts::openapi(), "Paid provider", "It accepts every request."),
        Provider::ThirdParty => {
            (Rows::openapi(), "Third party", "It accepts rows of tables, and keeps none.")
        }
    };
    document.merge(Common::openapi());
    let about =
        "A stand-in for an outside service. It counts requests, and can be told to be slow or to fail.";
    title.clone_into(&mut document.info.title);
    document.info.description = Some(format!("{about}\n\n{description}"));
    document
}
