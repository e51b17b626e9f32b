//! Certificates: the chain of each triangle, and what the server said of each.

use diesel::prelude::*;
use maildreieck_api_spec::certificate::Chained;
use maildreieck_api_spec::ids::{RunId, TriangleId};

use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::certificates;
use crate::error::Result;

/// A certificate's place, and what the server said of it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The run that it came with.
    pub run: RunId,
    /// Its triangle.
    pub triangle: TriangleId,
    /// Its hash.
    pub hash: String,
    /// That of the one before it.
    pub previous: Option<String>,
    /// How it stands to those before.
    pub chain: Chained,
    /// The countersignature in JSON.
    pub countersignature: String,
}

/// How a certificate that names `previous` stands to those of the triangle that are here. Until this transaction ends no
/// other asks that of the triangle: of two that come at once the second sees the first.
///
/// # Errors
/// The database's.
pub fn chained(
    ctx: &Ctx,
    db: &mut Conn,
    triangle: TriangleId,
    previous: Option<&str>,
) -> Result<Chained> {
    if let Conn::Postgres(conn) = db {
        // SQLite's transactions that write stand in line.
        diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind::<diesel::sql_types::Text, _>(format!("certificates of {triangle}"))
            .execute(conn)?;
    }
    let of_triangle = || {
        certificates::table
            .filter(certificates::tenant_id.eq(ctx.tenant_key()))
            .filter(certificates::triangle_id.eq(triangle.to_string()))
    };
    let first = |run: QueryResult<String>| -> Result<bool> { Ok(run.optional()?.is_some()) };
    let Some(previous) = previous else {
        let known = first(of_triangle().select(certificates::run_id).first(db))?;
        return Ok(if known {
            Chained::BegunAnew
        } else {
            Chained::Begun
        });
    };
    if first(
        of_triangle()
            .filter(certificates::previous_hash.eq(previous))
            .select(certificates::run_id)
            .first(db),
    )? {
        return Ok(Chained::Forked);
    }
    let follows = first(
        of_triangle()
            .filter(certificates::certificate_hash.eq(previous))
            .select(certificates::run_id)
            .first(db),
    )?;
    Ok(if follows {
        Chained::Continued
    } else {
        Chained::Gap
    })
}

/// Adds a certificate.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, link: &Link) -> Result<()> {
    diesel::insert_into(certificates::table)
        .values((
            certificates::tenant_id.eq(ctx.tenant_key()),
            certificates::run_id.eq(link.run.to_string()),
            certificates::triangle_id.eq(link.triangle.to_string()),
            certificates::certificate_hash.eq(&link.hash),
            certificates::previous_hash.eq(link.previous.as_deref()),
            certificates::chain.eq(link.chain.as_str()),
            certificates::countersignature.eq(&link.countersignature),
        ))
        .execute(db)?;
    Ok(())
}

/// What the server said of the certificates of these runs, in JSON; of those that have one.
///
/// # Errors
/// The database's.
pub fn said_of(ctx: &Ctx, db: &mut Conn, runs: &[RunId]) -> Result<Vec<(String, String)>> {
    let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
    Ok(certificates::table
        .filter(certificates::tenant_id.eq(ctx.tenant_key()))
        .filter(certificates::run_id.eq_any(runs))
        .select((certificates::run_id, certificates::countersignature))
        .load(db)?)
}
