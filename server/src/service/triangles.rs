//! Triangles and their schedules, and the rules that hold among the triangles of a tenant. They are
//! checked after the tenant's audit head is locked, so that two changes cannot pass each other.

use chrono_tz::Tz;
use maildreieck_api_spec::ids::{AccountId, ScheduleId, SiteId, TriangleId};
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::text::{FolderName, GraceMinutes, Name, StandbyPrefix};
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact::{self, Answer, Once};
use super::{fresh, stale};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::cron::Schedule as Times;
use crate::domain::operations::Operation;
use crate::domain::{day, standby};
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::Conn;
use crate::store::schedules::{MIRROR, Schedule, TX};
pub use crate::store::triangles::Triangle;

/// A cron line with its zone.
pub struct Cron {
    /// The line.
    pub line: String,
    /// The zone.
    pub zone: String,
}

/// What is set for a triangle.
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// The site whose agent works on it.
    pub site_id: SiteId,
    /// The primary.
    pub primary_account_id: AccountId,
    /// The standby.
    pub standby_account_id: AccountId,
    /// Below which folder of the standby.
    pub standby_prefix: StandbyPrefix,
    /// What is left out.
    pub exclude_folders: Vec<FolderName>,
    /// When the corners are proved.
    pub tx: Cron,
    /// When mail is mirrored besides.
    pub mirror: Option<Cron>,
    /// How long after its due time a Tx may arrive.
    pub grace_min: Option<GraceMinutes>,
}

/// A triangle with its schedules.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The triangle.
    pub triangle: Triangle,
    /// When the corners are proved.
    pub tx: Schedule,
    /// When mail is mirrored besides.
    pub mirror: Option<Schedule>,
}

/// Adds a triangle.
///
/// # Errors
/// `Invalid` and `Conflict` where a rule is broken.
pub async fn create(app: &App, ctx: &Ctx, new: Setting, once: Once<Scheduled>) -> Result<Answer> {
    authorise(ctx, Operation::CreateTriangle)?;
    check_alone(&new)?;
    transact::create(app, ctx, once, move |ctx, db| {
        let triangle = of(&new, TriangleId::new(), 1, ctx.now);
        check_among(ctx, db, &triangle)?;
        store::triangles::insert(ctx, db, &triangle)?;
        let made = put_schedules(ctx, db, triangle, &new)?;
        store::sites::bump_assignment(ctx, db, made.triangle.site_id)?;
        let event = Event::new(
            "triangle.create",
            "triangle",
            made.triangle.id,
            details(&made),
        );
        Ok((made, event))
    })
    .await
}

/// A triangle.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: TriangleId) -> Result<Scheduled> {
    authorise(ctx, Operation::ReadTriangle)?;
    app.db
        .read(ctx, move |ctx, db| {
            let triangle =
                store::triangles::find(ctx, db, id)?.ok_or_else(|| Error::not_found("triangle"))?;
            with_schedules(ctx, db, vec![triangle])?
                .pop()
                .ok_or_else(|| Error::not_found("triangle"))
        })
        .await
}

/// Changes the triangle that was read in a version.
///
/// # Errors
/// `NotFound`; `PreconditionFailed` if it has changed meanwhile; `Invalid` and `Conflict` where a rule is
/// broken.
pub async fn update(
    app: &App,
    ctx: &Ctx,
    id: TriangleId,
    read: u64,
    new: Setting,
) -> Result<Scheduled> {
    authorise(ctx, Operation::UpdateTriangle)?;
    check_alone(&new)?;
    transact::change(app, ctx, move |ctx, db| {
        let before =
            store::triangles::find(ctx, db, id)?.ok_or_else(|| Error::not_found("triangle"))?;
        if before.version != read {
            return Err(stale());
        }
        let triangle = of(&new, id, read + 1, before.created_at);
        check_among(ctx, db, &triangle)?;
        fresh(store::triangles::update(ctx, db, &triangle, read)?)?;
        let made = put_schedules(ctx, db, triangle, &new)?;
        store::sites::bump_assignment(ctx, db, made.triangle.site_id)?;
        if before.site_id != made.triangle.site_id {
            store::sites::bump_assignment(ctx, db, before.site_id)?;
        }
        let event = Event::new("triangle.update", "triangle", id, details(&made));
        Ok((made, event))
    })
    .await
}

/// A page of the tenant's triangles.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Scheduled>> {
    authorise(ctx, Operation::ListTriangles)?;
    let list = List::new(ctx, "triangles", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::triangles::list(ctx, db, &window)?;
            let rows = with_schedules(ctx, db, rows)?;
            Ok(list.page(&window, rows, |row| row.triangle.id.to_string()))
        })
        .await
}

fn of(
    new: &Setting,
    id: TriangleId,
    version: u64,
    created_at: chrono::DateTime<chrono::Utc>,
) -> Triangle {
    Triangle {
        id,
        site_id: new.site_id,
        name: new.name.clone(),
        primary_account_id: new.primary_account_id,
        standby_account_id: new.standby_account_id,
        standby_prefix: new.standby_prefix.clone(),
        exclude_folders: new.exclude_folders.clone(),
        grace_min: new.grace_min,
        version,
        created_at,
    }
}

/// What a record says of a triangle.
fn details(made: &Scheduled) -> serde_json::Value {
    let triangle = &made.triangle;
    let when = |schedule: &Schedule| json!({"cron": schedule.cron, "timezone": schedule.timezone});
    json!({
        "name": triangle.name,
        "site": triangle.site_id,
        "primary": triangle.primary_account_id,
        "standby": triangle.standby_account_id,
        "standby_prefix": triangle.standby_prefix,
        "exclude_folders": triangle.exclude_folders,
        "grace_min": triangle.grace_min.map(GraceMinutes::get),
        "tx": when(&made.tx),
        "mirror": made.mirror.as_ref().map(when),
        "version": triangle.version,
    })
}

/// What a triangle must be in itself.
fn check_alone(new: &Setting) -> Result<()> {
    let mut wrong = Vec::new();
    if let Err(mut fields) = Times::parse(&new.tx.line, &new.tx.zone, "/tx") {
        wrong.append(&mut fields);
    }
    if let Some(mirror) = &new.mirror
        && let Err(mut fields) = Times::parse(&mirror.line, &mirror.zone, "/mirror")
    {
        wrong.append(&mut fields);
    }
    if new.exclude_folders.len() > 100 {
        wrong.push(crate::domain::field::Field {
            pointer: "/exclude_folders".to_owned(),
            rule: "at most 100 folders".to_owned(),
        });
    }
    if new.primary_account_id == new.standby_account_id {
        wrong.push(crate::domain::field::Field {
            pointer: "/standby_account_id".to_owned(),
            rule: "another account than the primary".to_owned(),
        });
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Error::of_fields(wrong))
    }
}

/// What must hold among the triangles of the tenant.
fn check_among(ctx: &Ctx, db: &mut Conn, new: &Triangle) -> Result<()> {
    if store::sites::find(ctx, db, new.site_id)?.is_none() {
        return Err(Error::invalid("/site_id", "a site of this tenant"));
    }
    for (account, pointer) in [
        (new.primary_account_id, "/primary_account_id"),
        (new.standby_account_id, "/standby_account_id"),
    ] {
        if store::accounts::find(ctx, db, account)?.is_none() {
            return Err(Error::invalid(pointer, "an account of this tenant"));
        }
    }
    let clash = |text: &str| Err(Error::new(Kind::Conflict, text));
    let others =
        |triangles: Vec<Triangle>| triangles.into_iter().filter(|other| other.id != new.id);
    let of_primary = store::triangles::of_account(ctx, db, new.primary_account_id)?;
    if let Some(other) = others(of_primary).next() {
        return if other.primary_account_id == new.primary_account_id {
            clash("This account is the primary of another triangle.")
        } else {
            clash("This account is the standby of another triangle, so it cannot be a primary.")
        };
    }
    for other in others(store::triangles::of_account(
        ctx,
        db,
        new.standby_account_id,
    )?) {
        if other.primary_account_id == new.standby_account_id {
            return clash(
                "This account is the primary of another triangle, so it cannot be a standby.",
            );
        }
        if other.site_id != new.site_id {
            return clash("Triangles that share a standby account must be of one site.");
        }
        if !standby::disjoint(other.standby_prefix.as_str(), new.standby_prefix.as_str()) {
            return clash(
                "Triangles that share a standby account need prefixes of which none lies in another.",
            );
        }
    }
    for other in others(store::triangles::of_site(ctx, db, new.site_id)?) {
        if other.name == new.name {
            return clash("The site has another triangle of this name.");
        }
    }
    Ok(())
}

/// Sets the schedules, from now on, and has the tenant's day looked at.
fn put_schedules(ctx: &Ctx, db: &mut Conn, triangle: Triangle, new: &Setting) -> Result<Scheduled> {
    let tenant = store::tenants::find(ctx, db)?.ok_or_else(|| Error::not_found("tenant"))?;
    let grace_min = triangle.grace_min.unwrap_or(tenant.grace_min);
    let mut old_tx = None;
    let mut old_mirror = None;
    for schedule in store::schedules::of_triangles(ctx, db, &[triangle.id])? {
        match schedule.kind.as_str() {
            TX => old_tx = Some(schedule),
            _ => old_mirror = Some(schedule),
        }
    }
    let schedule = |old: Option<&Schedule>, kind: &str, cron: &Cron| Schedule {
        tenant_id: tenant.id,
        id: old.map_or_else(ScheduleId::new, |old| old.id),
        triangle_id: triangle.id,
        kind: kind.to_owned(),
        cron: cron.line.clone(),
        timezone: cron.zone.clone(),
        grace_min,
        next_due_at: None,
    };
    let mut tx = schedule(old_tx.as_ref(), TX, &new.tx);
    let unchanged = old_tx
        .as_ref()
        .is_some_and(|old| old.cron == tx.cron && old.timezone == tx.timezone);
    tx.next_due_at = match old_tx {
        // What fell due a moment ago and was not claimed yet stays due.
        Some(old) if unchanged => old.next_due_at,
        _ => Times::parse(&tx.cron, &tx.timezone, "/tx")
            .map_err(Error::of_fields)?
            .next_after(ctx.now),
    };
    store::schedules::put(ctx, db, &tx)?;
    let mirror = match (&new.mirror, old_mirror) {
        (Some(cron), old) => {
            let mirror = schedule(old.as_ref(), MIRROR, cron);
            store::schedules::put(ctx, db, &mirror)?;
            Some(mirror)
        }
        (None, Some(old)) => {
            store::schedules::remove(ctx, db, old.id)?;
            None
        }
        (None, None) => None,
    };
    let zone: Tz = tenant
        .timezone
        .as_str()
        .parse()
        .map_err(|error| Error::internal("the tenant's zone", format!("{error}")))?;
    store::daily_reports::check_by(ctx, db, day::of(ctx.now, zone), ctx.now)?;
    Ok(Scheduled {
        triangle,
        tx,
        mirror,
    })
}

/// Joins triangles with their schedules.
pub(super) fn with_schedules(
    ctx: &Ctx,
    db: &mut Conn,
    triangles: Vec<Triangle>,
) -> Result<Vec<Scheduled>> {
    let ids: Vec<TriangleId> = triangles.iter().map(|triangle| triangle.id).collect();
    let schedules = store::schedules::of_triangles(ctx, db, &ids)?;
    let of = |id: TriangleId, kind: &str| {
        schedules
            .iter()
            .find(|schedule| schedule.triangle_id == id && schedule.kind == kind)
            .cloned()
    };
    triangles
        .into_iter()
        .map(|triangle| {
            let tx = of(triangle.id, TX)
                .ok_or_else(|| Error::internal("a triangle", "it has no Tx schedule"))?;
            let mirror = of(triangle.id, MIRROR);
            Ok(Scheduled {
                triangle,
                tx,
                mirror,
            })
        })
        .collect()
}
