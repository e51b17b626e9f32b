//! How people become known: by password once, by token at each request. What a person may do is read
//! from the database each time, so that a role taken away is gone at once.

use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::text::EmailAddress;
use secrecy::SecretString;

use super::authorise::authorise;
use super::tokens::{self, Bearer};
use super::{passwords, users};
use crate::app::App;
use crate::context::{Ctx, Principal, Scope};
use crate::domain::operations::Operation;
use crate::error::{Error, Kind, Result};
use crate::store;

/// Logs a person in: a token and its life in seconds.
///
/// # Errors
/// `Unauthenticated`, the same for an unknown address and a wrong password.
pub async fn login(
    app: &App,
    ctx: &Ctx,
    email: &EmailAddress,
    password: SecretString,
) -> Result<(String, u64)> {
    authorise(ctx, Operation::Login)?;
    let address = users::normal(email);
    let found = app
        .db
        .read(ctx, move |ctx, db| {
            store::users::find_for_login(ctx, db, &address)
        })
        .await?;
    let (user, hash) = match found {
        Some((user, hash)) => (Some(user), Some(hash)),
        None => (None, None),
    };
    let fits = passwords::fits(app, password, hash).await?;
    match user {
        Some(user) if fits => tokens::issue(app, Bearer::User { id: user.id }, ctx.now),
        _ => Err(Error::new(
            Kind::Unauthenticated,
            "Address and password do not fit.",
        )),
    }
}

/// The context of a person's request: who he is, and what he is in the tenant that it names. A tenant in
/// which he is nothing does not exist for him.
///
/// # Errors
/// `Unauthenticated` for a token that is not good or whose person is gone, `NotFound` for the tenant.
pub async fn person(
    app: &App,
    visitor: &Ctx,
    token: &str,
    tenant: Option<TenantId>,
) -> Result<Ctx> {
    let Bearer::User { id } = tokens::check(app, token, visitor.now)? else {
        return Err(tokens::refused());
    };
    let (user, memberships) = app
        .db
        .read(visitor, move |ctx, db| {
            Ok((
                store::users::find(ctx, db, id)?,
                store::memberships::of_user(ctx, db, id)?,
            ))
        })
        .await?;
    let user = user.ok_or_else(tokens::refused)?;
    let role = tenant.and_then(|tenant| {
        memberships
            .iter()
            .find(|(of, _)| *of == tenant)
            .map(|(_, role)| *role)
    });
    let principal = Principal::User {
        id,
        provider_admin: user.provider_admin,
        role,
    };
    let Some(tenant) = tenant else {
        return Ok(Ctx {
            principal,
            ..visitor.clone()
        });
    };
    if role.is_none() && !user.provider_admin {
        return Err(Error::not_found("tenant"));
    }
    let ctx = Ctx {
        principal,
        scope: Scope::Tenant(tenant),
        ..visitor.clone()
    };
    if role.is_none() {
        let known = app.db.read(&ctx, store::tenants::find).await?;
        known.ok_or_else(|| Error::not_found("tenant"))?;
    }
    Ok(ctx)
}
