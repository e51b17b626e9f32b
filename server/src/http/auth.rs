//! Logging in.

use actix_web::post;
use actix_web::web::Data;
use maildreieck_api_spec::agents::TokenResponse;
use maildreieck_api_spec::auth::LoginRequest;
use secrecy::SecretString;

use super::answer::{Handled, ok};
use super::extract::{Body, Visitor};
use crate::app::App;
use crate::service;

/// Log in with address and password.
///
/// The token is good for fifteen minutes. Role and tenants are read anew at each request.
#[utoipa::path(
    tag = "people", operation_id = "login",
    request_body = LoginRequest,
    responses((status = 200, description = "An access token.", body = TokenResponse))
)]
#[post("/api/v1/auth/login")]
pub async fn login(app: Data<App>, Visitor(ctx): Visitor, body: Body) -> Handled {
    let login: LoginRequest = body.read()?;
    let password = SecretString::from(login.password);
    let (access_token, expires_in_s) =
        service::auth::login(&app, &ctx, &login.email, password).await?;
    ok(&TokenResponse {
        access_token,
        expires_in_s,
    })
}
