//! Which methods a path has, from the API's own description: to tell a path that does not exist from one
//! that exists under other methods.

use actix_web::dev::ResourceDef;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use utoipa::openapi::OpenApi;

use crate::error::{Error, Kind};
use crate::problem::Failure;

/// Paths and their methods.
pub struct Methods(Vec<(ResourceDef, String)>);

impl Methods {
    /// Those of an API.
    #[must_use]
    pub fn of(api: &OpenApi) -> Self {
        let paths = api.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                // Answered like GET, see `answer::complete`.
                ("HEAD", item.get.is_some()),
                ("POST", item.post.is_some()),
                ("PUT", item.put.is_some()),
                ("PATCH", item.patch.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let methods: Vec<&str> = methods
                .into_iter()
                .filter_map(|(name, there)| there.then_some(name))
                .collect();
            (ResourceDef::new(path.as_str()), methods.join(", "))
        });
        Self(paths.collect())
    }
}

/// Answers what no route took.
///
/// # Errors
/// Always: `NotFound`, or `MethodNotAllowed` with what is.
pub async fn nothing(
    request: HttpRequest,
    methods: Data<Methods>,
) -> Result<HttpResponse, Failure> {
    let known = methods
        .0
        .iter()
        .find(|(path, _)| path.is_match(request.path()));
    Err(match known {
        Some((_, methods)) => Failure {
            allow: Some(methods.clone()),
            ..Error::new(Kind::MethodNotAllowed, format!("Here there is {methods}.")).into()
        },
        None => Error::new(Kind::NotFound, "There is nothing here.").into(),
    })
}
