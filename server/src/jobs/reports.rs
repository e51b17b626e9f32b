//! Writes the reports of days that are over.

use crate::app::App;
use crate::context::Ctx;
use crate::error::Result;
use crate::mail;
use crate::service::daily_reports;

pub(super) async fn write(app: &App, ctx: &Ctx) -> Result<()> {
    for tenant in daily_reports::to_check(app, ctx).await? {
        if daily_reports::settle(app, &ctx.for_tenant(tenant), mail::report::say).await? {
            tracing::info!(%tenant, "a daily report was written");
        }
    }
    Ok(())
}
