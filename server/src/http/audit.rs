//! The audit chains as people read them: a tenant's, and the provider's own.

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, get};
use futures::TryStreamExt;
use maildreieck_api_spec::audit::{AuditQuery, AuditRecord};
use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::page::{Page, PageQuery};

use super::answer::{Handled, ok};
use super::convert;
use super::extract::{Person, query};
use crate::app::App;
use crate::context::Ctx;
use crate::service;
use crate::service::audit::Filter;

/// The tenant's audit records, newest first.
#[utoipa::path(
    tag = "audit", operation_id = "list_audit_records",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), AuditQuery),
    responses((status = 200, description = "A page of records.", body = Page<AuditRecord>))
)]
#[get("/api/v1/tenants/{tenant_id}/audit")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    page(&app, &ctx, &request).await
}

/// The tenant's whole audit chain, oldest first.
///
/// A line for each record, `{"hash":…,"record":…}`, the record in the octets that the hash is over:
/// `maildreieck-server audit verify --export` verifies it offline. That it was read is its last record.
#[utoipa::path(
    tag = "audit", operation_id = "export_audit",
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 200, description = "The chain, newline-delimited JSON.", body = String, content_type = "application/x-ndjson"))
)]
#[get("/api/v1/tenants/{tenant_id}/audit/export")]
pub async fn export(app: Data<App>, Person(ctx): Person) -> Handled {
    lines(&app, &ctx).await
}

/// The audit records of the provider's own chain, newest first.
#[utoipa::path(
    tag = "audit", operation_id = "list_provider_audit_records", params(AuditQuery),
    responses((status = 200, description = "A page of records.", body = Page<AuditRecord>))
)]
#[get("/api/v1/audit")]
pub async fn list_provider(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    page(&app, &ctx, &request).await
}

/// The provider's whole audit chain, oldest first.
///
/// As a tenant's is exported.
#[utoipa::path(
    tag = "audit", operation_id = "export_provider_audit",
    responses((status = 200, description = "The chain, newline-delimited JSON.", body = String, content_type = "application/x-ndjson"))
)]
#[get("/api/v1/audit/export")]
pub async fn export_provider(app: Data<App>, Person(ctx): Person) -> Handled {
    lines(&app, &ctx).await
}

async fn page(app: &App, ctx: &Ctx, request: &HttpRequest) -> Handled {
    let asked: AuditQuery = query(request)?;
    let filter = Filter {
        action: asked.action,
        actor_id: asked.actor_id,
        object_id: asked.object_id,
        from: asked.from,
        until: asked.until,
    };
    let window = PageQuery {
        limit: asked.limit,
        cursor: asked.cursor,
    };
    let page = service::audit::list(app, ctx, filter, &window).await?;
    ok(&convert::page(page, convert::audit_record))
}

/// The status is out when a later portion fails: then the answer breaks off, which its reader sees.
async fn lines(app: &App, ctx: &Ctx) -> Handled {
    let request_id = ctx.request_id;
    let lines = service::audit::export(app, ctx).await?;
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(lines.map_ok(Bytes::from).inspect_err(move |error| {
        tracing::error!(%request_id, why = ?error.private, "an export broke off by our own fault");
    })))
}
