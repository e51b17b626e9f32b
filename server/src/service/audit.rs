//! The one wrapper through which a change of the closed list goes. It takes the chain's next place first,
//! lets the change happen, and writes the record; if any of the three fails, nothing happened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maildreieck_api_spec::ids::{AuditId, UserId};
use serde_json::Value;

use crate::context::{Ctx, Scope};
use crate::domain::audit::{FORMAT, NO_RECORD, Named, Personal, Record, instant, seal};
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::store;
use crate::store::Conn;

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
        chain: match ctx.scope {
            Scope::Tenant(tenant) => tenant.to_string(),
            Scope::Provider => "provider".to_owned(),
        },
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
    store::audit::append(
        ctx,
        db,
        record.seq,
        &record.id,
        record.action,
        &canonical,
        &hash,
    )?;
    Ok(value)
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
