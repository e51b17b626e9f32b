//! Runs as people read them.

use actix_web::web::Data;
use actix_web::{HttpRequest, get};
use maildreieck_api_spec::ids::{RunId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};
use maildreieck_api_spec::runs::{Run, RunKind, RunQuery};

use super::answer::{Handled, ok};
use super::convert;
use super::extract::{Person, id, query};
use crate::app::App;
use crate::service;
use crate::service::runs::Filter;

/// The tenant's runs, last received first.
#[utoipa::path(
    tag = "runs", operation_id = "list_runs",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), RunQuery),
    responses((status = 200, description = "A page of runs.", body = Page<Run>))
)]
#[get("/api/v1/tenants/{tenant_id}/runs")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let asked: RunQuery = query(&request)?;
    let filter = Filter {
        triangle: asked.triangle_id,
        kind: asked.kind.map(RunKind::as_str),
        verdict: asked.verdict,
    };
    let window = PageQuery {
        limit: asked.limit,
        cursor: asked.cursor,
    };
    let page = service::runs::list(&app, &ctx, filter, &window).await?;
    ok(&convert::page(page, convert::run))
}

/// A run with the agent's report.
#[utoipa::path(
    tag = "runs", operation_id = "read_run",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("run_id" = RunId, Path, description = "The run.")
    ),
    responses((status = 200, description = "The run.", body = Run))
)]
#[get("/api/v1/tenants/{tenant_id}/runs/{run_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let run: RunId = id(&request, "run_id", "run")?;
    ok(&convert::run(service::runs::read(&app, &ctx, run).await?))
}
