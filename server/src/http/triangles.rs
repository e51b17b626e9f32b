//! Triangles.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post, put};
use maildreieck_api_spec::ids::{TenantId, TriangleId};
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::triangles::{Triangle, TriangleConfig};

use super::answer::{Handled, created, ok, versioned};
use super::convert;
use super::extract::{Body, Person, id, once, query, version};
use crate::app::App;
use crate::service;

/// The tenant's triangles, newest first.
#[utoipa::path(
    tag = "triangles", operation_id = "list_triangles",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of triangles.", body = Page<Triangle>))
)]
#[get("/api/v1/tenants/{tenant_id}/triangles")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::triangles::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::triangle))
}

/// Add a triangle.
#[utoipa::path(
    tag = "triangles", operation_id = "create_triangle", request_body = TriangleConfig,
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 201, description = "The triangle.", body = Triangle))
)]
#[post("/api/v1/tenants/{tenant_id}/triangles")]
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
        |made: &service::triangles::Scheduled| {
            let triangle = convert::triangle(made.clone());
            // Relative to the list's own path (RFC 9110, 10.2.2).
            let location = format!("triangles/{}", triangle.id);
            convert::made(&triangle, location, Some(made.triangle.version))
        },
    )?;
    let new = convert::triangle_setting(body.read()?);
    created(&service::triangles::create(&app, &ctx, new, once).await?)
}

/// A triangle.
#[utoipa::path(
    tag = "triangles", operation_id = "read_triangle",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("triangle_id" = TriangleId, Path, description = "The triangle.")
    ),
    responses((status = 200, description = "The triangle.", body = Triangle))
)]
#[get("/api/v1/tenants/{tenant_id}/triangles/{triangle_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let made =
        service::triangles::read(&app, &ctx, id(&request, "triangle_id", "triangle")?).await?;
    let version = made.triangle.version;
    versioned(&convert::triangle(made), version)
}

/// Change a triangle.
#[utoipa::path(
    tag = "triangles", operation_id = "update_triangle", request_body = TriangleConfig,
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("triangle_id" = TriangleId, Path, description = "The triangle.")
    ),
    responses((status = 200, description = "The triangle.", body = Triangle))
)]
#[put("/api/v1/tenants/{tenant_id}/triangles/{triangle_id}")]
pub async fn update(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let id = id(&request, "triangle_id", "triangle")?;
    let was = version(&request)?;
    let new = convert::triangle_setting(body.read()?);
    let made = service::triangles::update(&app, &ctx, id, was, new).await?;
    let version = made.triangle.version;
    versioned(&convert::triangle(made), version)
}
