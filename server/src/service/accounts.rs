//! Mail accounts. No password comes here, in any form.

use std::net::IpAddr;

use maildreieck_api_spec::ids::AccountId;
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::text::{HostName, Name, Port, UserName};
use maildreieck_api_spec::vocabulary::Tls;
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
pub use crate::store::accounts::Account;

/// What is set for an account.
pub struct Setting {
    /// What people call it.
    pub name: Name,
    /// Where its server is.
    pub host: HostName,
    /// On which port.
    pub port: Port,
    /// How it is protected.
    pub tls: Tls,
    /// Who logs in.
    pub username: UserName,
}

impl Setting {
    /// What an account must be in itself. A name is not looked up: what it means here is nothing to a site.
    fn check(&self) -> Result<()> {
        let host = self.host.as_str().to_ascii_lowercase();
        let loopback = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        if self.tls == Tls::None && !loopback {
            return Err(Error::invalid(
                "/tls",
                "implicit or starttls; none is for a host on the agent's own machine, like 127.0.0.1 or localhost",
            ));
        }
        Ok(())
    }

    fn of(self, id: AccountId, version: u64, created_at: chrono::DateTime<chrono::Utc>) -> Account {
        Account {
            id,
            name: self.name,
            host: self.host,
            port: self.port,
            tls: self.tls,
            username: self.username,
            version,
            created_at,
        }
    }
}

/// What a record says of an account. The user name is mostly a mail address, so its hash stands for it:
/// enough to see that it changed.
fn details(account: &Account) -> serde_json::Value {
    use sha2::{Digest, Sha256};
    json!({
        "host": account.host,
        "port": account.port.get(),
        "tls": account.tls,
        "username_sha256": hex::encode(Sha256::digest(
            format!("{}|{}", account.id, account.username).as_bytes()
        )),
        "version": account.version,
    })
}

/// Adds an account.
///
/// # Errors
/// `Invalid` for a far host without TLS.
pub async fn create(app: &App, ctx: &Ctx, new: Setting, once: Once<Account>) -> Result<Answer> {
    authorise(ctx, Operation::CreateAccount)?;
    new.check()?;
    transact::create(app, ctx, once, move |ctx, db| {
        let account = new.of(AccountId::new(), 1, ctx.now);
        store::accounts::insert(ctx, db, &account)?;
        let event = Event::new("account.create", "account", account.id, details(&account));
        Ok((account, event))
    })
    .await
}

/// An account.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: AccountId) -> Result<Account> {
    authorise(ctx, Operation::ReadAccount)?;
    app.db
        .read(ctx, move |ctx, db| store::accounts::find(ctx, db, id))
        .await?
        .ok_or_else(|| Error::not_found("account"))
}

/// Changes the account that was read in a version; the agents of its triangles learn of it.
///
/// # Errors
/// `NotFound`; `PreconditionFailed` if it has changed meanwhile; `Invalid` for a far host without TLS.
pub async fn update(
    app: &App,
    ctx: &Ctx,
    id: AccountId,
    read: u64,
    new: Setting,
) -> Result<Account> {
    authorise(ctx, Operation::UpdateAccount)?;
    new.check()?;
    transact::change(app, ctx, move |ctx, db| {
        let before =
            store::accounts::find(ctx, db, id)?.ok_or_else(|| Error::not_found("account"))?;
        if before.version != read {
            return Err(stale());
        }
        let account = new.of(id, read + 1, before.created_at);
        fresh(store::accounts::update(ctx, db, &account, read)?)?;
        for triangle in store::triangles::of_account(ctx, db, id)? {
            store::sites::bump_assignment(ctx, db, triangle.site_id)?;
        }
        let event = Event::new("account.update", "account", account.id, details(&account));
        Ok((account, event))
    })
    .await
}

/// A page of the tenant's accounts.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Account>> {
    authorise(ctx, Operation::ListAccounts)?;
    let list = List::new(ctx, "accounts", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::accounts::list(ctx, db, &window)?;
            Ok(list.page(&window, rows, |account| account.id.to_string()))
        })
        .await
}
