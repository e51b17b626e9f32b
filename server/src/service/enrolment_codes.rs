//! Enrolment codes: made by a person, bound to a site, good once and for an hour.

use chrono::TimeDelta;
use maildreieck_api_spec::ids::{EnrolmentCodeId, SiteId};
use maildreieck_api_spec::page::PageQuery;
use serde_json::json;

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::transact::{self, Answer, Once};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::enrolment;
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::keys::random;
use crate::store;
pub use crate::store::enrolment_codes::EnrolmentCode;

/// How long a code is good.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// A code that has just been made.
pub struct Issued {
    /// What is kept of it.
    pub kept: EnrolmentCode,
    /// The code itself, which is not.
    pub code: String,
    /// SHA-256 of the server's certificate in hex, where the server itself speaks TLS.
    pub certificate_sha256: Option<String>,
}

/// Makes a code for a site.
///
/// # Errors
/// `NotFound` for the site.
pub async fn create(app: &App, ctx: &Ctx, site: SiteId, once: Once<Issued>) -> Result<Answer> {
    authorise(ctx, Operation::CreateEnrolmentCode)?;
    let certificate_sha256 = app.settings.certificate_sha256.clone();
    transact::create(app, ctx, once, move |ctx, db| {
        if store::sites::find(ctx, db, site)?.is_none() {
            return Err(Error::not_found("site"));
        }
        let tenant = ctx.tenant().ok_or_else(|| Error::not_found("tenant"))?;
        let bits = random::<16>()?;
        let kept = EnrolmentCode {
            id: EnrolmentCodeId::new(),
            tenant_id: tenant,
            site_id: site,
            created_at: ctx.now,
            expires_at: ctx.now + LIFE,
            agent_id: None,
        };
        store::enrolment_codes::insert(ctx, db, &kept, &enrolment::hash(bits))?;
        let event = Event::new(
            "enrolment_code.create",
            "enrolment_code",
            kept.id,
            json!({"site": site}),
        );
        let issued = Issued {
            kept,
            code: enrolment::show(bits),
            certificate_sha256,
        };
        Ok((issued, event))
    })
    .await
}

/// A page of a site's codes.
///
/// # Errors
/// `NotFound` for the site; a cursor of another list.
pub async fn list(
    app: &App,
    ctx: &Ctx,
    site: SiteId,
    query: &PageQuery,
) -> Result<Paged<EnrolmentCode>> {
    authorise(ctx, Operation::ListEnrolmentCodes)?;
    let list = List::new(ctx, "enrolment_codes", &[&site.to_string()]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            if store::sites::find(ctx, db, site)?.is_none() {
                return Err(Error::not_found("site"));
            }
            let rows = store::enrolment_codes::list(ctx, db, site, &window)?;
            Ok(list.page(&window, rows, |code| code.id.to_string()))
        })
        .await
}
