//! Who works in a tenant as what.

use maildreieck_api_spec::ids::UserId;
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::vocabulary::MemberRole;
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact;
use crate::app::App;
use crate::context::Ctx;
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::store;
pub use crate::store::memberships::Member;

/// A page of the tenant's members.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Member>> {
    authorise(ctx, Operation::ListMembers)?;
    let list = List::new(ctx, "members", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::memberships::list(ctx, db, &window)?;
            Ok(list.page(&window, rows, |member| member.user_id.to_string()))
        })
        .await
}

/// Gives a person a role in the tenant, instead of the one he has.
///
/// # Errors
/// `NotFound` for the person.
pub async fn put(app: &App, ctx: &Ctx, user: UserId, role: MemberRole) -> Result<Member> {
    authorise(ctx, Operation::PutMember)?;
    transact::change(app, ctx, move |ctx, db| {
        if !store::memberships::person_exists(ctx, db, user)? {
            return Err(Error::not_found("person"));
        }
        let before = store::memberships::find(ctx, db, user)?.map(|member| member.role);
        store::memberships::put(ctx, db, user, role)?;
        let member =
            store::memberships::find(ctx, db, user)?.ok_or_else(|| Error::not_found("person"))?;
        let details = json!({"role": role, "before": before});
        Ok((member, Event::new("member.put", "user", user, details)))
    })
    .await
}

/// Takes a person's place in the tenant away.
///
/// # Errors
/// `NotFound` if he had none.
pub async fn remove(app: &App, ctx: &Ctx, user: UserId) -> Result<()> {
    authorise(ctx, Operation::RemoveMember)?;
    transact::change(app, ctx, move |ctx, db| {
        let before =
            store::memberships::find(ctx, db, user)?.ok_or_else(|| Error::not_found("member"))?;
        store::memberships::remove(ctx, db, user)?;
        let details = json!({"before": before.role});
        Ok(((), Event::new("member.remove", "user", user, details)))
    })
    .await
}
