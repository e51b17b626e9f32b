//! Tenants.

use chrono_tz::Tz;
use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::text::{EmailAddress, GraceMinutes, Name, ZoneName};
use maildreieck_api_spec::vocabulary::Language;
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact::{self, Answer, Once};
use super::{fresh, stale};
use crate::app::App;
use crate::context::{Ctx, Principal};
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::store;
pub use crate::store::tenants::Tenant;

/// What is set for a tenant.
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// The zone of its days.
    pub timezone: ZoneName,
    /// The language of its reports.
    pub language: Language,
    /// Who gets them.
    pub report_to: Vec<EmailAddress>,
    /// How long after its due time a Tx may arrive.
    pub grace_min: GraceMinutes,
}

impl Setting {
    fn check(&self) -> Result<()> {
        if self.timezone.as_str().parse::<Tz>().is_err() {
            return Err(Error::invalid(
                "/timezone",
                "an IANA time zone like Europe/Berlin",
            ));
        }
        if self.report_to.len() > 20 {
            return Err(Error::invalid("/report_to", "at most 20 addresses"));
        }
        Ok(())
    }

    fn of(self, id: TenantId, version: u64, created_at: chrono::DateTime<chrono::Utc>) -> Tenant {
        Tenant {
            id,
            name: self.name,
            timezone: self.timezone,
            language: self.language,
            report_to: self.report_to,
            grace_min: self.grace_min,
            version,
            created_at,
        }
    }
}

/// What a record says of a tenant: not whom its reports go to.
fn details(tenant: &Tenant) -> serde_json::Value {
    json!({
        "name": tenant.name,
        "timezone": tenant.timezone,
        "language": tenant.language,
        "recipients": tenant.report_to.len(),
        "grace_min": tenant.grace_min.get(),
        "version": tenant.version,
    })
}

/// Adds a tenant; on the provider's chain.
///
/// # Errors
/// A zone that does not exist.
pub async fn create(app: &App, ctx: &Ctx, new: Setting, once: Once<Tenant>) -> Result<Answer> {
    authorise(ctx, Operation::CreateTenant)?;
    new.check()?;
    let tenant = new.of(TenantId::new(), 1, ctx.now);
    transact::create(app, ctx, once, move |ctx, db| {
        store::tenants::insert(ctx, db, &tenant)?;
        let event = Event::new("tenant.create", "tenant", tenant.id, details(&tenant));
        Ok((tenant, event))
    })
    .await
}

/// The tenant.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx) -> Result<Tenant> {
    authorise(ctx, Operation::ReadTenant)?;
    app.db
        .read(ctx, store::tenants::find)
        .await?
        .ok_or_else(|| Error::not_found("tenant"))
}

/// Changes the tenant that was read in a version.
///
/// # Errors
/// `PreconditionFailed` if it has changed meanwhile.
pub async fn update(app: &App, ctx: &Ctx, read: u64, new: Setting) -> Result<Tenant> {
    authorise(ctx, Operation::UpdateTenant)?;
    new.check()?;
    transact::change(app, ctx, move |ctx, db| {
        let before = store::tenants::find(ctx, db)?.ok_or_else(|| Error::not_found("tenant"))?;
        if before.version != read {
            return Err(stale());
        }
        let tenant = new.of(before.id, read + 1, before.created_at);
        fresh(store::tenants::update(ctx, db, &tenant, read)?)?;
        if tenant.grace_min != before.grace_min {
            let without: Vec<_> = store::triangles::all(ctx, db)?
                .into_iter()
                .filter(|triangle| triangle.grace_min.is_none())
                .map(|triangle| triangle.id)
                .collect();
            store::schedules::set_grace(ctx, db, &without, tenant.grace_min)?;
        }
        let event = Event::new("tenant.update", "tenant", tenant.id, details(&tenant));
        Ok((tenant, event))
    })
    .await
}

/// A page of the tenants that the person may see: all for an administrator of the provider, else those he
/// works in.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Tenant>> {
    authorise(ctx, Operation::ListTenants)?;
    let list = List::new(ctx, "tenants", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = match ctx.principal {
                Principal::User {
                    provider_admin: true,
                    ..
                }
                | Principal::System(_) => store::tenants::list_all(ctx, db, &window)?,
                Principal::User { id, .. } => store::tenants::list_of_user(ctx, db, id, &window)?,
                _ => Vec::new(),
            };
            Ok(list.page(&window, rows, |tenant| tenant.id.to_string()))
        })
        .await
}
