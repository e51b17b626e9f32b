//! The API's description. Each handler describes its own success; what holds for all (who may ask,
//! problems, repeatable and conditional requests) is added here, so that no handler can forget it.

use actix_web::App;
use maildreieck_api_spec::problem::Problem;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, OpenApi, Ref, RefOr, Required, ResponseBuilder, Type,
};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_actix_web::AppExt;

use super::routes;
use crate::domain::operations::{May, OPERATIONS};
use crate::problem::MEDIA_TYPE;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Maildreieck",
        description = "The server of the mail triangle. Every error is a problem details object (RFC 9457). Lists come newest first, a page at a time. What another tenant has does not exist (404).",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    tags(
        (name = "server", description = "The server itself."),
        (name = "people", description = "People, how they log in, and where they work."),
        (name = "tenants", description = "Small businesses."),
        (name = "sites", description = "Their places, and how an agent comes to work there."),
        (name = "accounts", description = "Mail accounts, without passwords."),
        (name = "triangles", description = "Primary, standby and store, and when they are proved."),
        (name = "agents", description = "Agents as people see them."),
        (name = "runs", description = "What agents reported."),
        (name = "daily reports", description = "What the owner got."),
        (name = "audit", description = "What was done, by whom: a chain of records for each tenant, and one for the provider."),
        (name = "agent", description = "What agents ask and tell.")
    )
)]
struct Base;

/// The API's description.
#[must_use]
pub fn document() -> OpenApi {
    let (_, mut api) = App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(routes::all)
        .split_for_parts();
    let components = api.components.get_or_insert_default();
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    for (name, what) in [
        ("person", "A person's access token, from `login`."),
        ("agent", "An agent's access token, from `token`."),
    ] {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(what))
            .build();
        components
            .security_schemes
            .insert(name.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
    }
    for (path, item) in &mut api.paths.paths {
        let methods = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                complete(path, &method, operation);
            }
        }
    }
    api
}

/// The description as it is committed: indented, with a newline at its end.
///
/// # Errors
/// None is known.
pub fn text() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let may = OPERATIONS
        .iter()
        .find(|known| known.id() == id)
        .map(|known| known.may());
    let scheme = match may {
        None | Some(May::Anybody) => None,
        Some(May::Agent) => Some("agent"),
        Some(_) => Some("person"),
    };
    let mut problems = vec![
        ("500", "The server failed."),
        ("503", "Too much to do; try again."),
    ];
    if let Some(scheme) = scheme {
        operation.security = Some(vec![SecurityRequirement::new(scheme, Vec::<String>::new())]);
        problems.push(("401", "The access token is missing or not good."));
        problems.push(("403", "The role does not allow it."));
    }
    if matches!(id.as_str(), "login" | "enrol" | "token") {
        problems.push(("401", "What was shown does not hold."));
    }
    if path.contains('{') {
        problems.push(("404", "It does not exist, at least not for this one."));
    }
    if path.contains('{') || operation_has_query(operation) {
        problems.push(("400", "The request cannot be read."));
    }
    if operation.request_body.is_some() {
        problems.push(("400", "The body is no JSON."));
        problems.push(("413", "The body is too long."));
        problems.push(("415", "The body is not `application/json`."));
        problems.push((
            "422",
            "The body says what cannot be; `errors` names the fields.",
        ));
    }
    let repeatable = *method == HttpMethod::Post && id.starts_with("create_");
    if repeatable {
        header(
            operation,
            "Idempotency-Key",
            Required::False,
            "With one, the same request again within 24 hours gets the same answer.",
        );
        problems.push(("400", "The `Idempotency-Key` is none."));
        problems.push((
            "409",
            "It contradicts what is there, or the first request is being answered.",
        ));
        problems.push((
            "422",
            "The body says what cannot be, or the key belongs to another body.",
        ));
    }
    if id.starts_with("update_") {
        header(
            operation,
            "If-Match",
            Required::True,
            "The `ETag` of what was read.",
        );
        problems.push(("409", "It contradicts what is there."));
        problems.push(("412", "It has changed since it was read."));
        problems.push(("428", "`If-Match` is missing."));
    }
    if id == "put_run" {
        problems.push(("409", "Another report was received under this id."));
    }
    for (status, description) in problems {
        let response = ResponseBuilder::new()
            .description(description)
            .content(
                MEDIA_TYPE,
                ContentBuilder::new()
                    .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
                    .build(),
            )
            .build();
        operation
            .responses
            .responses
            .insert(status.to_owned(), RefOr::T(response));
    }
}

fn operation_has_query(operation: &Operation) -> bool {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    parameters
        .iter()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query))
}

fn header(operation: &mut Operation, name: &str, required: Required, description: &str) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build();
    operation
        .parameters
        .get_or_insert_with(Vec::new)
        .push(RefOr::T(parameter));
}
