//! Who works in which tenant as what.
#![expect(
    clippy::type_complexity,
    reason = "tuples of columns, named where they are taken apart"
)]

use diesel::prelude::*;
use maildreieck_api_spec::ids::{TenantId, UserId};
use maildreieck_api_spec::text::{EmailAddress, Name};
use maildreieck_api_spec::vocabulary::MemberRole;

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::schema::{memberships, users};
use crate::db::types::{Word, word};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// A person in the tenant.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// What he logs in with.
    pub email: EmailAddress,
    /// His name.
    pub name: Name,
    /// As what.
    pub role: MemberRole,
}

/// The memberships of one person, in all tenants. The provider's scope alone sees them.
///
/// # Errors
/// The database's.
pub fn of_user(_ctx: &Ctx, db: &mut Conn, user: UserId) -> Result<Vec<(TenantId, MemberRole)>> {
    let rows: Vec<(Word<TenantId>, Word<MemberRole>)> = memberships::table
        .filter(memberships::user_id.eq(user.to_string()))
        .order(memberships::tenant_id.asc())
        .select((memberships::tenant_id, memberships::role))
        .load(db)?;
    Ok(rows
        .into_iter()
        .map(|(tenant, role)| (tenant.0, role.0))
        .collect())
}

/// The members of the tenant, newest person first.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Member>> {
    let rows: Vec<(
        Word<UserId>,
        Word<EmailAddress>,
        Word<Name>,
        Word<MemberRole>,
    )> = memberships::table
        .inner_join(users::table)
        .filter(memberships::tenant_id.eq(ctx.tenant_key()))
        .filter(memberships::user_id.lt(window.bound()))
        .order(memberships::user_id.desc())
        .limit(window.ask())
        .select((users::user_id, users::email, users::name, memberships::role))
        .load(db)?;
    Ok(rows.into_iter().map(member).collect())
}

/// One member of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, user: UserId) -> Result<Option<Member>> {
    let row: Option<(
        Word<UserId>,
        Word<EmailAddress>,
        Word<Name>,
        Word<MemberRole>,
    )> = memberships::table
        .inner_join(users::table)
        .filter(memberships::tenant_id.eq(ctx.tenant_key()))
        .filter(memberships::user_id.eq(user.to_string()))
        .select((users::user_id, users::email, users::name, memberships::role))
        .first(db)
        .optional()?;
    Ok(row.map(member))
}

fn member(
    row: (
        Word<UserId>,
        Word<EmailAddress>,
        Word<Name>,
        Word<MemberRole>,
    ),
) -> Member {
    Member {
        user_id: row.0.0,
        email: row.1.0,
        name: row.2.0,
        role: row.3.0,
    }
}

/// Whether there is such a person at all, as a tenant may know.
///
/// # Errors
/// The database's.
pub fn person_exists(_ctx: &Ctx, db: &mut Conn, user: UserId) -> Result<bool> {
    let known: Option<String> = users::table
        .filter(users::user_id.eq(user.to_string()))
        .select(users::user_id)
        .first(db)
        .optional()?;
    Ok(known.is_some())
}

/// Gives a person a role in the tenant, instead of the one he has.
///
/// # Errors
/// The database's.
pub fn put(ctx: &Ctx, db: &mut Conn, user: UserId, role: MemberRole) -> Result<()> {
    let statement = diesel::insert_into(memberships::table)
        .values((
            memberships::tenant_id.eq(ctx.tenant_key()),
            memberships::user_id.eq(user.to_string()),
            memberships::role.eq(word(&role)),
            memberships::created_at.eq(ctx.now.naive_utc()),
        ))
        .on_conflict((memberships::tenant_id, memberships::user_id))
        .do_update()
        .set(memberships::role.eq(word(&role)));
    on_each!(db, |conn| statement.execute(conn))?;
    Ok(())
}

/// Takes a person's place in the tenant away. `false` if he had none.
///
/// # Errors
/// The database's.
pub fn remove(ctx: &Ctx, db: &mut Conn, user: UserId) -> Result<bool> {
    Ok(one(diesel::delete(memberships::table)
        .filter(memberships::tenant_id.eq(ctx.tenant_key()))
        .filter(memberships::user_id.eq(user.to_string()))
        .execute(db)?))
}
