//! Runs: each report once, as it came.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{AgentId, RunId, SiteId, TriangleId};
use maildreieck_api_spec::vocabulary::Verdict;

use super::page::Window;
use crate::context::Ctx;
use crate::db::schema::runs;
use crate::db::types::{Instant, MaybeWord, Word};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// A run.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// Which.
    #[diesel(column_name = run_id, deserialize_as = Word<RunId>)]
    pub id: RunId,
    /// Its place in lists: a UUIDv7 of its receipt.
    pub received_id: String,
    /// At which site.
    #[diesel(deserialize_as = Word<SiteId>)]
    pub site_id: SiteId,
    /// By which agent.
    #[diesel(deserialize_as = Word<AgentId>)]
    pub agent_id: AgentId,
    /// Of which triangle.
    #[diesel(deserialize_as = Word<TriangleId>)]
    pub triangle_id: TriangleId,
    /// `mirror` or `tx`.
    pub kind: String,
    /// `done`, `held_back` or `failed`.
    pub outcome: String,
    /// As recomputed from the certificate.
    #[diesel(deserialize_as = MaybeWord<Verdict>)]
    pub verdict: Option<Verdict>,
    /// The report in canonical JSON.
    pub report: String,
    /// SHA-256 of it.
    pub report_hash: String,
    /// When.
    #[diesel(deserialize_as = Instant)]
    pub received_at: DateTime<Utc>,
}

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this triangle.
    pub triangle: Option<TriangleId>,
    /// Of this kind.
    pub kind: Option<&'static str>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
}

/// Adds a run, unless one with its id is there. Whether it was added.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, run: &Run) -> Result<bool> {
    let statement = diesel::insert_into(runs::table)
        .values((
            runs::tenant_id.eq(ctx.tenant_key()),
            runs::run_id.eq(run.id.to_string()),
            runs::received_id.eq(run.received_id.clone()),
            runs::site_id.eq(run.site_id.to_string()),
            runs::agent_id.eq(run.agent_id.to_string()),
            runs::triangle_id.eq(run.triangle_id.to_string()),
            runs::kind.eq(run.kind.clone()),
            runs::outcome.eq(run.outcome.clone()),
            runs::verdict.eq(run.verdict.map(Verdict::as_str)),
            runs::report.eq(run.report.clone()),
            runs::report_hash.eq(run.report_hash.clone()),
            runs::received_at.eq(run.received_at.naive_utc()),
        ))
        .on_conflict((runs::tenant_id, runs::run_id))
        .do_nothing();
    Ok(super::one(on_each!(db, |conn| statement.execute(conn))?))
}

/// A run of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: RunId) -> Result<Option<Run>> {
    Ok(runs::table
        .filter(runs::tenant_id.eq(ctx.tenant_key()))
        .filter(runs::run_id.eq(id.to_string()))
        .select(Run::as_select())
        .first(db)
        .optional()?)
}

/// A page of the tenant's runs, last received first.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, filter: &Filter, window: &Window) -> Result<Vec<Run>> {
    let mut query = runs::table
        .filter(runs::tenant_id.eq(ctx.tenant_key()))
        .filter(runs::received_id.lt(window.bound()))
        .order(runs::received_id.desc())
        .limit(window.ask())
        .select(Run::as_select())
        .into_boxed();
    if let Some(triangle) = filter.triangle {
        query = query.filter(runs::triangle_id.eq(triangle.to_string()));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(runs::kind.eq(kind));
    }
    if let Some(verdict) = filter.verdict {
        query = query.filter(runs::verdict.eq(verdict.as_str()));
    }
    Ok(query.load(db)?)
}
