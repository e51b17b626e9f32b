//! Whether the server lives.

use actix_web::{HttpResponse, get};
use maildreieck_api_spec::health::Health;

use super::answer::{Handled, ok};
use super::extract::Visitor;
use crate::app::App;
use crate::service;

/// Whether the server lives and reaches its database.
#[utoipa::path(
    tag = "server", operation_id = "health",
    responses((status = 200, description = "It does.", body = Health))
)]
#[get("/healthz")]
pub async fn health(
    app: actix_web::web::Data<App>,
    Visitor(ctx): Visitor,
) -> Result<HttpResponse, crate::problem::Failure> {
    service::health(&app, &ctx).await?;
    let answer: Handled = ok(&Health {
        status: "ok".to_owned(),
    });
    answer
}
