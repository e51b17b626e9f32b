//! Mail accounts. There is no column for a password.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::AccountId;
use maildreieck_api_spec::text::{HostName, Name, Port, UserName};
use maildreieck_api_spec::vocabulary::Tls;

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::accounts;
use crate::db::types::{Count, Instant, Small, Word, big, word};
use crate::error::Result;

/// An account.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct Account {
    /// Which.
    #[diesel(column_name = account_id, deserialize_as = Word<AccountId>)]
    pub id: AccountId,
    /// What people call it.
    #[diesel(deserialize_as = Word<Name>)]
    pub name: Name,
    /// Where its server is.
    #[diesel(deserialize_as = Word<HostName>)]
    pub host: HostName,
    /// On which port.
    #[diesel(deserialize_as = Small<Port>)]
    pub port: Port,
    /// How it is protected.
    #[diesel(deserialize_as = Word<Tls>)]
    pub tls: Tls,
    /// Who logs in.
    #[diesel(deserialize_as = Word<UserName>)]
    pub username: UserName,
    /// Grows with each change.
    #[diesel(deserialize_as = Count)]
    pub version: u64,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

/// Adds an account.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, account: &Account) -> Result<()> {
    diesel::insert_into(accounts::table)
        .values((
            accounts::tenant_id.eq(ctx.tenant_key()),
            accounts::account_id.eq(account.id.to_string()),
            accounts::name.eq(account.name.as_str()),
            accounts::host.eq(account.host.as_str()),
            accounts::port.eq(i32::from(account.port.get())),
            accounts::tls.eq(word(&account.tls)),
            accounts::username.eq(account.username.as_str()),
            accounts::version.eq(big(account.version)),
            accounts::created_at.eq(account.created_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// An account of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: AccountId) -> Result<Option<Account>> {
    Ok(accounts::table
        .filter(accounts::tenant_id.eq(ctx.tenant_key()))
        .filter(accounts::account_id.eq(id.to_string()))
        .select(Account::as_select())
        .first(db)
        .optional()?)
}

/// Changes an account, if its version is still the one that was read.
///
/// # Errors
/// The database's.
pub fn update(ctx: &Ctx, db: &mut Conn, account: &Account, read: u64) -> Result<bool> {
    Ok(one(diesel::update(accounts::table)
        .filter(accounts::tenant_id.eq(ctx.tenant_key()))
        .filter(accounts::account_id.eq(account.id.to_string()))
        .filter(accounts::version.eq(big(read)))
        .set((
            accounts::name.eq(account.name.as_str()),
            accounts::host.eq(account.host.as_str()),
            accounts::port.eq(i32::from(account.port.get())),
            accounts::tls.eq(word(&account.tls)),
            accounts::username.eq(account.username.as_str()),
            accounts::version.eq(big(account.version)),
        ))
        .execute(db)?))
}

/// A page of the tenant's accounts.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Account>> {
    Ok(accounts::table
        .filter(accounts::tenant_id.eq(ctx.tenant_key()))
        .filter(accounts::account_id.lt(window.bound()))
        .order(accounts::account_id.desc())
        .limit(window.ask())
        .select(Account::as_select())
        .load(db)?)
}
