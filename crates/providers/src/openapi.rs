//! `/openapi.json` and Swagger UI at `/docs/`, with the calls and the controls. All files are part of the program.

use actix_web::web::{self, Data, Path};
use actix_web::{HttpResponse, Resource};
use program::swagger_ui;
use utoipa::{OpenApi, openapi};

use crate::call;
use crate::problem::{Code, Problem, ProblemView};
use crate::provider::Provider;

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

/// Answers with the description of that provider.
pub fn description(provider: Provider) -> Resource {
    let document = Data::new(document(provider));
    let told = async |document: Data<openapi::OpenApi>| HttpResponse::Ok().json(document.get_ref());
    web::resource("/openapi.json").app_data(document).route(web::get().to(told))
}

/// Answers with Swagger UI.
pub fn docs() -> Resource {
    let told = async |name: Path<String>| {
        let file = match name.as_str() {
            "" => Some(swagger_ui::page("Provider · Coatcheck", "")),
            name => swagger_ui::file(name),
        };
        let file = file.ok_or(Problem::from(Code::NotFound))?;
        Ok::<_, Problem>(HttpResponse::Ok().content_type(file.media_type).body(file.content.into_owned()))
    };
    web::resource("/docs/{file:.*}").route(web::get().to(told))
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
