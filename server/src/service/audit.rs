//! The audit chains. A change of the closed list goes through one wrapper, which takes the chain's next
//! place first, lets the change happen, and writes the record; if any of the three fails, nothing happened.
//! Here they are read as well, a page at a time or whole, and verified. Sealed fields stay sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, Stream};
use maildreieck_api_spec::ids::{AuditId, TenantId, UserId};
use maildreieck_api_spec::page::PageQuery;
use serde_json::{Value, json};

use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact;
use crate::app::App;
use crate::context::{Ctx, Scope};
use crate::db::Db;
use crate::domain::audit::{FORMAT, NO_RECORD, Named, Personal, Record, instant, seal};
use crate::domain::chain::{self, Broken, Chain, Checkpoint, Columns};
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::store;
use crate::store::Conn;
pub use crate::store::audit::Filter;
use crate::store::audit::Row;
use crate::store::page::Window;

/// How many records are held at a time where a whole chain is read.
const AT_A_TIME: u16 = 500;

/// What a change says of itself.
#[derive(Debug, Clone)]
pub struct Event {
    action: &'static str,
    object: Named,
    details: Value,
    personal: Vec<(UserId, Value)>,
}

impl Event {
    /// A change like `site.create` to an object.
    pub fn new(action: &'static str, kind: &str, id: impl ToString, details: Value) -> Self {
        Self {
            action,
            object: Named {
                kind: kind.to_owned(),
                id: id.to_string(),
            },
            details,
            personal: Vec::new(),
        }
    }

    /// Values of a person, which the record keeps sealed.
    #[must_use]
    pub fn about(mut self, person: UserId, fields: Value) -> Self {
        self.personal.push((person, fields));
        self
    }
}

/// Makes a change and writes it to the chain of the context's tenant, or of the provider.
///
/// # Errors
/// The change's, or the record's: then the caller's transaction must not be committed.
pub fn audited<T>(
    ctx: &Ctx,
    db: &mut Conn,
    keys: &Keys,
    change: impl FnOnce(&mut Conn) -> Result<(T, Event)>,
) -> Result<T> {
    let head = store::audit::take_place(ctx, db, NO_RECORD)?;
    let (value, event) = change(db)?;
    let mut personal = Vec::new();
    for (person, fields) in &event.personal {
        personal.push(seal_fields(ctx, db, keys, head.seq, *person, fields)?);
    }
    let record = Record {
        format: FORMAT,
        chain: chain_name(ctx),
        seq: head.seq,
        previous: head.hash,
        id: AuditId::new().to_string(),
        at: instant(ctx.now),
        actor: Named {
            kind: ctx.principal.kind().to_owned(),
            id: ctx.principal.id(),
        },
        action: event.action,
        object: event.object,
        details: event.details,
        personal,
        request_id: ctx.request_id.to_string(),
    };
    let (canonical, hash) =
        seal(&record).map_err(|error| Error::internal("writing an audit record", error))?;
    let row = Row {
        seq: record.seq,
        audit_id: record.id,
        at: ctx.now,
        action: record.action.to_owned(),
        actor_id: record.actor.id,
        object_id: record.object.id,
        record: canonical,
        hash,
    };
    store::audit::append(ctx, db, &row)?;
    Ok(value)
}

/// Whose chain it is, as its records say.
pub fn chain_name(ctx: &Ctx) -> String {
    match ctx.scope {
        Scope::Tenant(tenant) => tenant.to_string(),
        Scope::Provider => "provider".to_owned(),
    }
}

fn seal_fields(
    ctx: &Ctx,
    db: &mut Conn,
    keys: &Keys,
    seq: u64,
    person: UserId,
    fields: &Value,
) -> Result<Personal> {
    let person = person.to_string();
    let row = format!("{}|{person}", ctx.tenant_key());
    let wrapped = match store::audit::person_key(ctx, db, &person)? {
        Some(wrapped) => wrapped,
        None => {
            let wrapped = keys.new_person_key(&row)?;
            store::audit::add_person_key(ctx, db, &person, &wrapped)?;
            wrapped
        }
    };
    let place = format!("{}|{seq}", ctx.tenant_key());
    let sealed = keys.encrypt_personal(&row, &wrapped, &place, fields.to_string().as_bytes())?;
    Ok(Personal {
        person,
        ciphertext: STANDARD.encode(sealed),
    })
}

/// A record, for people.
#[derive(Debug, Clone)]
pub struct Told {
    id: String,
    /// What it says.
    pub record: Value,
    /// Its hash.
    pub hash: String,
}

fn told(row: Row) -> Result<Told> {
    let record = serde_json::from_str(&row.record)
        .map_err(|error| Error::internal("reading an audit record", error))?;
    Ok(Told {
        id: row.audit_id,
        record,
        hash: row.hash,
    })
}

/// A page of the context's chain, newest first.
///
/// # Errors
/// A cursor of another list or of other filters.
pub async fn list(app: &App, ctx: &Ctx, filter: Filter, query: &PageQuery) -> Result<Paged<Told>> {
    let operation = match ctx.scope {
        Scope::Tenant(_) => Operation::ListAuditRecords,
        Scope::Provider => Operation::ListProviderAudit,
    };
    authorise(ctx, operation)?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |at: &Option<_>| at.map(instant).unwrap_or_default();
    let list = List::new(
        ctx,
        "audit",
        &[
            &text(&filter.action),
            &text(&filter.actor_id),
            &text(&filter.object_id),
            &time(&filter.from),
            &time(&filter.until),
        ],
    );
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::audit::list(ctx, db, &filter, &window)?;
            let told = rows.into_iter().map(told).collect::<Result<Vec<_>>>()?;
            Ok(list.page(&window, told, |told| told.id.clone()))
        })
        .await
}

/// The context's whole chain as lines, oldest first, a portion at a time. That it was read is its last
/// record.
///
/// # Errors
/// The database's, also in the middle.
pub async fn export(app: &App, ctx: &Ctx) -> Result<impl Stream<Item = Result<String>> + use<>> {
    let operation = match ctx.scope {
        Scope::Tenant(_) => Operation::ExportAudit,
        Scope::Provider => Operation::ExportProviderAudit,
    };
    authorise(ctx, operation)?;
    let chain = chain_name(ctx);
    transact::change(app, ctx, move |_, _| {
        Ok(((), Event::new("audit.export", "audit", chain, json!({}))))
    })
    .await?;
    let head = app.db.read(ctx, store::audit::head).await?;
    let last = head.map_or(0, |head| head.seq);
    let (db, ctx) = (app.db.clone(), ctx.clone());
    Ok(stream::try_unfold(None, move |behind: Option<u64>| {
        let (db, ctx) = (db.clone(), ctx.clone());
        async move {
            if behind.is_some_and(|seq| seq >= last) {
                return Ok(None);
            }
            let rows = db
                .read(&ctx, move |ctx, db| {
                    store::audit::behind(ctx, db, behind, AT_A_TIME)
                })
                .await?;
            let Some(until) = rows.last().map(|row| row.seq) else {
                return Ok(None);
            };
            let lines: String = rows
                .iter()
                .filter(|row| row.seq <= last)
                .map(|row| chain::line(&row.record, &row.hash))
                .collect();
            Ok(Some((lines, Some(until))))
        }
    }))
}

/// What a chain was found to be.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Whose it is.
    pub chain: String,
    /// Its last record that is whole with all before it; none where it is empty.
    pub last: Option<Checkpoint>,
    /// What is wrong behind that.
    pub broken: Option<Broken>,
}

impl Verified {
    /// A chain that was followed until it ended or broke.
    #[must_use]
    pub fn of(chain: &Chain, outcome: std::result::Result<(), Broken>) -> Self {
        Self {
            chain: chain.name().unwrap_or_default().to_owned(),
            last: Some(chain.last().clone()).filter(|last| last.seq > 0),
            broken: outcome.err(),
        }
    }
}

/// Verifies the context's chain as it stood at one moment. For the command line: no API operation.
///
/// # Errors
/// The database's; `NotFound` for a tenant without a record that does not exist. A broken chain is none.
pub async fn verify(db: &Db, ctx: &Ctx, wanted: Option<Checkpoint>) -> Result<Verified> {
    db.read(ctx, move |ctx, db| {
        let mut chain = Chain::new(Some(chain_name(ctx)), wanted);
        let mut behind = None;
        loop {
            let rows = store::audit::behind(ctx, db, behind, AT_A_TIME)?;
            let Some(last) = rows.last() else { break };
            behind = Some(last.seq);
            for row in &rows {
                if let Err(broken) = follow(&mut chain, row) {
                    return Ok(Verified::of(&chain, Err(broken)));
                }
            }
        }
        let head = store::audit::head(ctx, db)?;
        let head = head.as_ref().map(|head| (head.seq, head.hash.as_str()));
        let outcome = chain.ends_with(head).and_then(|()| chain.end());
        // A tenant to whom nothing was done yet has no record, one that does not exist neither.
        let empty = chain.last().seq == 0 && outcome.is_ok();
        if empty && ctx.tenant().is_some() && store::tenants::find(ctx, db)?.is_none() {
            return Err(Error::not_found("tenant"));
        }
        Ok(Verified::of(&chain, outcome))
    })
    .await
}

fn follow(chain: &mut Chain, row: &Row) -> std::result::Result<(), Broken> {
    let at = instant(row.at);
    let columns = Columns {
        seq: row.seq,
        audit_id: &row.audit_id,
        at: &at,
        action: &row.action,
        actor_id: &row.actor_id,
        object_id: &row.object_id,
    };
    chain.follow(&row.record, &row.hash, Some(columns))
}

/// The tenants, each of which may have a chain: those behind one, the newest first.
///
/// # Errors
/// The database's.
pub async fn tenants(db: &Db, ctx: &Ctx, below: Option<TenantId>) -> Result<Vec<TenantId>> {
    let window = Window {
        below: below.map(|tenant| tenant.to_string()),
        limit: AT_A_TIME,
    };
    db.read(ctx, move |ctx, db| {
        let tenants = store::tenants::list_all(ctx, db, &window)?;
        Ok(tenants.into_iter().map(|tenant| tenant.id).collect())
    })
    .await
}
