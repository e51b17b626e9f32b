//! People.

use maildreieck_api_spec::ids::{TenantId, UserId};
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::text::{EmailAddress, Name};
use maildreieck_api_spec::vocabulary::MemberRole;
use secrecy::SecretString;
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::passwords;
use super::transact::{self, Answer, Once};
use crate::app::App;
use crate::context::{Ctx, Principal};
use crate::domain::operations::Operation;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::Conn;
use crate::store::users::User;

/// A person to add.
pub struct NewUser {
    /// What he logs in with.
    pub email: EmailAddress,
    /// His name.
    pub name: Name,
    /// His first password.
    pub password: SecretString,
    /// Whether he administers the provider.
    pub provider_admin: bool,
}

/// A person with his places.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub user: User,
    /// The tenants he works in.
    pub memberships: Vec<(TenantId, MemberRole)>,
}

/// An address as it is kept and compared.
pub(super) fn normal(email: &EmailAddress) -> String {
    email.as_str().to_lowercase()
}

/// Adds a person.
///
/// # Errors
/// A conflict if the address is taken.
pub async fn create(app: &App, ctx: &Ctx, new: NewUser, once: Once<Person>) -> Result<Answer> {
    authorise(ctx, Operation::CreateUser)?;
    let email = EmailAddress::try_from(normal(&new.email))
        .map_err(|rule| Error::invalid("/email", rule.0))?;
    let hash = passwords::hash(app, new.password).await?;
    let user = User {
        id: UserId::new(),
        email,
        name: new.name,
        provider_admin: new.provider_admin,
        created_at: ctx.now,
    };
    transact::create(app, ctx, once, move |ctx, db| {
        store::users::insert(ctx, db, &user, &hash).map_err(taken)?;
        let event = Event::new(
            "user.create",
            "user",
            user.id,
            json!({"provider_admin": user.provider_admin}),
        )
        .about(user.id, json!({"email": user.email, "name": user.name}));
        let person = Person {
            user,
            memberships: Vec::new(),
        };
        Ok((person, event))
    })
    .await
}

fn taken(error: Error) -> Error {
    match error.kind {
        Kind::Conflict => Error::new(Kind::Conflict, "There is a person with this address."),
        _ => error,
    }
}

fn person(ctx: &Ctx, db: &mut Conn, id: UserId) -> Result<Person> {
    let user = store::users::find(ctx, db, id)?.ok_or_else(|| Error::not_found("person"))?;
    let memberships = store::memberships::of_user(ctx, db, id)?;
    Ok(Person { user, memberships })
}

/// A person.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: UserId) -> Result<Person> {
    authorise(ctx, Operation::ReadUser)?;
    app.db.read(ctx, move |ctx, db| person(ctx, db, id)).await
}

/// The person who asks.
///
/// # Errors
/// `Unauthenticated` for anybody but a person.
pub async fn me(app: &App, ctx: &Ctx) -> Result<Person> {
    authorise(ctx, Operation::Me)?;
    let Principal::User { id, .. } = ctx.principal else {
        return Err(Error::not_found("person"));
    };
    app.db.read(ctx, move |ctx, db| person(ctx, db, id)).await
}

/// A page of people.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Person>> {
    authorise(ctx, Operation::ListUsers)?;
    let list = List::new(ctx, "users", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let mut people = Vec::new();
            for user in store::users::list(ctx, db, &window)? {
                let memberships = store::memberships::of_user(ctx, db, user.id)?;
                people.push(Person { user, memberships });
            }
            Ok(list.page(&window, people, |person| person.user.id.to_string()))
        })
        .await
}
