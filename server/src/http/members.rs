//! Who works in a tenant as what.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use maildreieck_api_spec::ids::{TenantId, UserId};
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::users::{Member, MemberConfig};

use super::answer::{Handled, ok};
use super::convert;
use super::extract::{Body, Person, id, query};
use crate::app::App;
use crate::service;

/// The tenant's members, newest person first.
#[utoipa::path(
    tag = "people", operation_id = "list_members",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of members.", body = Page<Member>))
)]
#[get("/api/v1/tenants/{tenant_id}/members")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::members::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::member))
}

/// Give a person a role in the tenant, instead of the one he has.
#[utoipa::path(
    tag = "people", operation_id = "put_member", request_body = MemberConfig,
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("user_id" = UserId, Path, description = "The person.")
    ),
    responses((status = 200, description = "The member.", body = Member))
)]
#[put("/api/v1/tenants/{tenant_id}/members/{user_id}")]
pub async fn put_one(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let user: UserId = id(&request, "user_id", "person")?;
    let config: MemberConfig = body.read()?;
    let member = service::members::put(&app, &ctx, user, config.role).await?;
    ok(&convert::member(member))
}

/// Take a person's place in the tenant away.
#[utoipa::path(
    tag = "people", operation_id = "remove_member",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("user_id" = UserId, Path, description = "The person.")
    ),
    responses((status = 204, description = "He has none any more."))
)]
#[delete("/api/v1/tenants/{tenant_id}/members/{user_id}")]
pub async fn remove(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let user: UserId = id(&request, "user_id", "member")?;
    service::members::remove(&app, &ctx, user).await?;
    Ok(HttpResponse::NoContent().finish())
}
