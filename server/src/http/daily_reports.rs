//! The owner's daily reports.

use actix_web::web::Data;
use actix_web::{HttpRequest, get};
use maildreieck_api_spec::daily_reports::{DailyReport, DailyReportSummary};
use maildreieck_api_spec::ids::{DailyReportId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};

use super::answer::{Handled, ok};
use super::convert;
use super::extract::{Person, id, query};
use crate::app::App;
use crate::service;

/// The tenant's daily reports, newest first.
#[utoipa::path(
    tag = "daily reports", operation_id = "list_daily_reports",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of reports.", body = Page<DailyReportSummary>))
)]
#[get("/api/v1/tenants/{tenant_id}/daily-reports")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::daily_reports::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, |report| {
        convert::daily_report_summary(&report)
    }))
}

/// A daily report as it was sent, with its mails.
#[utoipa::path(
    tag = "daily reports", operation_id = "read_daily_report",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("daily_report_id" = DailyReportId, Path, description = "The report.")
    ),
    responses((status = 200, description = "The report.", body = DailyReport))
)]
#[get("/api/v1/tenants/{tenant_id}/daily-reports/{daily_report_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let report: DailyReportId = id(&request, "daily_report_id", "daily report")?;
    let (report, deliveries) = service::daily_reports::read(&app, &ctx, report).await?;
    ok(&convert::daily_report(report, deliveries))
}
