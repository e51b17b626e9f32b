//! Tenants.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post, put};
use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::tenants::{Tenant, TenantConfig};

use super::answer::{Handled, created, ok, versioned};
use super::convert;
use super::extract::{Body, Person, once, query, version};
use crate::app::App;
use crate::service;

/// The tenants that the person may see, newest first.
///
/// All for an administrator of the provider, else those that the person is a member of.
#[utoipa::path(
    tag = "tenants", operation_id = "list_tenants", params(PageQuery),
    responses((status = 200, description = "A page of tenants.", body = Page<Tenant>))
)]
#[get("/api/v1/tenants")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::tenants::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::tenant))
}

/// Add a tenant.
#[utoipa::path(
    tag = "tenants", operation_id = "create_tenant", request_body = TenantConfig,
    responses((status = 201, description = "The tenant.", body = Tenant))
)]
#[post("/api/v1/tenants")]
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
        |tenant: &service::tenants::Tenant| {
            let location = format!("/api/v1/tenants/{}", tenant.id);
            convert::made(
                &convert::tenant(tenant.clone()),
                location,
                Some(tenant.version),
            )
        },
    )?;
    let new = convert::tenant_setting(body.read()?);
    created(&service::tenants::create(&app, &ctx, new, once).await?)
}

/// A tenant.
#[utoipa::path(
    tag = "tenants", operation_id = "read_tenant",
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = Tenant))
)]
#[get("/api/v1/tenants/{tenant_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person) -> Handled {
    let tenant = service::tenants::read(&app, &ctx).await?;
    let version = tenant.version;
    versioned(&convert::tenant(tenant), version)
}

/// Change a tenant.
#[utoipa::path(
    tag = "tenants", operation_id = "update_tenant", request_body = TenantConfig,
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = Tenant))
)]
#[put("/api/v1/tenants/{tenant_id}")]
pub async fn update(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let was = version(&request)?;
    let new = convert::tenant_setting(body.read()?);
    let tenant = service::tenants::update(&app, &ctx, was, new).await?;
    let version = tenant.version;
    versioned(&convert::tenant(tenant), version)
}
