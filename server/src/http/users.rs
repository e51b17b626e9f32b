//! People.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post};
use maildreieck_api_spec::ids::UserId;
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::users::{NewUser, User};
use secrecy::SecretString;

use super::answer::{Handled, created, ok};
use super::convert;
use super::extract::{Body, Person, id, once, query};
use crate::app::App;
use crate::service;

/// The person who asks.
#[utoipa::path(
    tag = "people", operation_id = "me",
    responses((status = 200, description = "Who asks.", body = User))
)]
#[get("/api/v1/me")]
pub async fn me(app: Data<App>, Person(ctx): Person) -> Handled {
    ok(&convert::user(service::users::me(&app, &ctx).await?))
}

/// All people, newest first.
#[utoipa::path(
    tag = "people", operation_id = "list_users", params(PageQuery),
    responses((status = 200, description = "A page of people.", body = Page<User>))
)]
#[get("/api/v1/users")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::users::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::user))
}

/// Add a person.
#[utoipa::path(
    tag = "people", operation_id = "create_user", request_body = NewUser,
    responses((status = 201, description = "The person.", body = User))
)]
#[post("/api/v1/users")]
pub async fn create(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let once = once(
        &app,
        &ctx,
        &request,
        &body,
        |person: &service::users::Person| {
            let location = format!("/api/v1/users/{}", person.user.id);
            convert::made(&convert::user(person.clone()), location, None)
        },
    )?;
    let new: NewUser = body.read()?;
    let new = service::users::NewUser {
        email: new.email,
        name: new.name,
        password: SecretString::from(new.password.expose().to_owned()),
        provider_admin: new.provider_admin,
    };
    created(&service::users::create(&app, &ctx, new, once).await?)
}

/// A person.
#[utoipa::path(
    tag = "people", operation_id = "read_user",
    params(("user_id" = UserId, Path, description = "The person.")),
    responses((status = 200, description = "The person.", body = User))
)]
#[get("/api/v1/users/{user_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let user: UserId = id(&request, "user_id", "person")?;
    ok(&convert::user(
        service::users::read(&app, &ctx, user).await?,
    ))
}
