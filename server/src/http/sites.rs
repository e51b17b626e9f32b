//! Sites.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post, put};
use maildreieck_api_spec::ids::{SiteId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::sites::{Site, SiteConfig};

use super::answer::{Handled, created, ok, versioned};
use super::convert;
use super::extract::{Body, Person, id, once, query, version};
use crate::app::App;
use crate::service;

/// The tenant's sites, newest first.
#[utoipa::path(
    tag = "sites", operation_id = "list_sites",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of sites.", body = Page<Site>))
)]
#[get("/api/v1/tenants/{tenant_id}/sites")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::sites::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::site))
}

/// Add a site.
#[utoipa::path(
    tag = "sites", operation_id = "create_site", request_body = SiteConfig,
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 201, description = "The site.", body = Site))
)]
#[post("/api/v1/tenants/{tenant_id}/sites")]
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
        |made: &service::sites::Site| {
            let site = convert::site(made.clone());
            // Relative to the list's own path (RFC 9110, 10.2.2).
            let location = format!("sites/{}", site.id);
            convert::made(&site, location, Some(made.version))
        },
    )?;
    let new = body.read::<SiteConfig>()?.name;
    created(&service::sites::create(&app, &ctx, new, once).await?)
}

/// A site.
#[utoipa::path(
    tag = "sites", operation_id = "read_site",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("site_id" = SiteId, Path, description = "The site.")
    ),
    responses((status = 200, description = "The site.", body = Site))
)]
#[get("/api/v1/tenants/{tenant_id}/sites/{site_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let made = service::sites::read(&app, &ctx, id(&request, "site_id", "site")?).await?;
    let version = made.version;
    versioned(&convert::site(made), version)
}

/// Change a site.
#[utoipa::path(
    tag = "sites", operation_id = "update_site", request_body = SiteConfig,
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("site_id" = SiteId, Path, description = "The site.")
    ),
    responses((status = 200, description = "The site.", body = Site))
)]
#[put("/api/v1/tenants/{tenant_id}/sites/{site_id}")]
pub async fn update(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let id = id(&request, "site_id", "site")?;
    let was = version(&request)?;
    let new = body.read::<SiteConfig>()?.name;
    let made = service::sites::update(&app, &ctx, id, was, new).await?;
    let version = made.version;
    versioned(&convert::site(made), version)
}
