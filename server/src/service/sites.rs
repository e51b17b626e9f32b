//! Sites.

use maildreieck_api_spec::ids::SiteId;
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::text::Name;
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact::{self, Answer, Once};
use super::{fresh, stale};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::store;
pub use crate::store::sites::Site;

/// Adds a site.
///
/// # Errors
/// The database's.
pub async fn create(app: &App, ctx: &Ctx, name: Name, once: Once<Site>) -> Result<Answer> {
    authorise(ctx, Operation::CreateSite)?;
    transact::create(app, ctx, once, move |ctx, db| {
        let site = Site {
            id: SiteId::new(),
            name,
            agent_id: None,
            assignment_version: 1,
            version: 1,
            created_at: ctx.now,
        };
        store::sites::insert(ctx, db, &site)?;
        let event = Event::new("site.create", "site", site.id, json!({"name": site.name}));
        Ok((site, event))
    })
    .await
}

/// A site.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: SiteId) -> Result<Site> {
    authorise(ctx, Operation::ReadSite)?;
    app.db
        .read(ctx, move |ctx, db| store::sites::find(ctx, db, id))
        .await?
        .ok_or_else(|| Error::not_found("site"))
}

/// Changes the site that was read in a version.
///
/// # Errors
/// `NotFound`; `PreconditionFailed` if it has changed meanwhile.
pub async fn update(app: &App, ctx: &Ctx, id: SiteId, read: u64, name: Name) -> Result<Site> {
    authorise(ctx, Operation::UpdateSite)?;
    transact::change(app, ctx, move |ctx, db| {
        let mut site = store::sites::find(ctx, db, id)?.ok_or_else(|| Error::not_found("site"))?;
        if site.version != read {
            return Err(stale());
        }
        site.name = name;
        site.version = read + 1;
        fresh(store::sites::update(ctx, db, &site, read)?)?;
        let details = json!({"name": site.name, "version": site.version});
        let event = Event::new("site.update", "site", site.id, details);
        Ok((site, event))
    })
    .await
}

/// A page of the tenant's sites.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Site>> {
    authorise(ctx, Operation::ListSites)?;
    let list = List::new(ctx, "sites", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::sites::list(ctx, db, &window)?;
            Ok(list.page(&window, rows, |site| site.id.to_string()))
        })
        .await
}
