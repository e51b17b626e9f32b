//! People. Global: a person is one, whatever tenants he works in.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::UserId;
use maildreieck_api_spec::text::{EmailAddress, Name};

use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::users;
use crate::db::types::{Instant, Word};
use crate::error::Result;

/// A person.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    /// Who.
    #[diesel(column_name = user_id, deserialize_as = Word<UserId>)]
    pub id: UserId,
    /// What he logs in with, in lower case.
    #[diesel(deserialize_as = Word<EmailAddress>)]
    pub email: EmailAddress,
    /// His name.
    #[diesel(deserialize_as = Word<Name>)]
    pub name: Name,
    /// Whether he administers the provider.
    pub provider_admin: bool,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

/// Adds a person.
///
/// # Errors
/// A conflict if the address is taken.
pub fn insert(_ctx: &Ctx, db: &mut Conn, user: &User, password_hash: &str) -> Result<()> {
    diesel::insert_into(users::table)
        .values((
            users::user_id.eq(user.id.to_string()),
            users::email.eq(user.email.as_str()),
            users::name.eq(user.name.as_str()),
            users::password_hash.eq(password_hash),
            users::provider_admin.eq(user.provider_admin),
            users::created_at.eq(user.created_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// A person by id.
///
/// # Errors
/// The database's.
pub fn find(_ctx: &Ctx, db: &mut Conn, id: UserId) -> Result<Option<User>> {
    Ok(users::table
        .find(id.to_string())
        .select(User::as_select())
        .first(db)
        .optional()?)
}

/// A person by address, with the password's hash.
///
/// # Errors
/// The database's.
pub fn find_for_login(_ctx: &Ctx, db: &mut Conn, email: &str) -> Result<Option<(User, String)>> {
    Ok(users::table
        .filter(users::email.eq(email))
        .select((User::as_select(), users::password_hash))
        .first(db)
        .optional()?)
}

/// A page of people.
///
/// # Errors
/// The database's.
pub fn list(_ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<User>> {
    Ok(users::table
        .filter(users::user_id.lt(window.bound()))
        .order(users::user_id.desc())
        .limit(window.ask())
        .select(User::as_select())
        .load(db)?)
}
