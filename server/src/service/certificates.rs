//! Certificates: the nonce that dates one, whether an agent of the site signed it, how it stands in its triangle's
//! chain, and the server's countersignature. The server vouches for what it can know, which is never the mail.
//!
//! A break in a chain is said and not refused: what is refused is evidence lost.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ed25519_dalek::{SigningKey, VerifyingKey};
use maildreieck_api_spec::certificate::{
    Certificate, Countersignature, UNANCHORED, hash_of, read_key, verify,
};
use maildreieck_api_spec::ids::{RunId, SiteId};

use super::authorise::authorise;
use crate::app::App;
use crate::context::Ctx;
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::keys::random;
use crate::store;
use crate::store::Conn;
use crate::store::certificates::Link;
use crate::store::runs::Run;

/// Octets of a run's nonce before its seal: 16 random ones, 8 of the time, 16 of the run.
const BODY: usize = 40;

/// A nonce for the certificate of a run: it says when it was given and for which run, and bears the server's seal for
/// this tenant. Nothing is stored: a run is reported once.
///
/// # Errors
/// Our own.
pub fn nonce(app: &App, ctx: &Ctx, run: RunId) -> Result<String> {
    authorise(ctx, Operation::RunNonce)?;
    let mut body = random::<16>()?.to_vec();
    body.extend(ctx.now.timestamp().to_be_bytes());
    body.extend(run.0.as_bytes());
    let seal = app.keys.seal_run_nonce(&of_tenant(ctx, &body));
    body.extend(seal);
    Ok(URL_SAFE_NO_PAD.encode(body))
}

fn of_tenant(ctx: &Ctx, body: &[u8]) -> Vec<u8> {
    [body, ctx.tenant_key().as_bytes()].concat()
}

/// When the nonce of a certificate was given; `None` where it has none.
///
/// # Errors
/// `Invalid` for one that is not ours, of another tenant or of another run.
pub(super) fn nonce_at(
    app: &App,
    ctx: &Ctx,
    run: RunId,
    certificate: Option<&Certificate>,
) -> Result<Option<DateTime<Utc>>> {
    let Some(certificate) = certificate.filter(|c| c.nonce != UNANCHORED) else {
        return Ok(None);
    };
    let read = || {
        let octets = URL_SAFE_NO_PAD.decode(&certificate.nonce).ok()?;
        let (body, seal) = octets.split_at_checked(BODY)?;
        let given_at = i64::from_be_bytes(*body.get(16..)?.first_chunk::<8>()?);
        let ours = app.keys.run_nonce_is_ours(&of_tenant(ctx, body), seal)
            && body.ends_with(run.0.as_bytes());
        DateTime::from_timestamp(given_at, 0).filter(|_| ours)
    };
    let rule = format!("the nonce that the server gave for this run, or `{UNANCHORED}`");
    let wrong = || Error::invalid("/certificate/nonce", rule);
    Ok(Some(read().ok_or_else(wrong)?))
}

/// Refuses a certificate that no agent of the site signed: reports of one that was replaced meanwhile are taken.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_signature(
    ctx: &Ctx,
    db: &mut Conn,
    site: SiteId,
    certificate: &Certificate,
) -> Result<()> {
    if certificate.countersignature.is_some() {
        let rule = "absent, since the server has not had it before";
        return Err(Error::invalid("/certificate/countersignature", rule));
    }
    let keys = store::agents::signing_keys(ctx, db, site)?;
    let keys: Vec<VerifyingKey> = keys.iter().filter_map(|key| read_key(key)).collect();
    let octets = serde_json::to_vec(certificate)
        .map_err(|error| Error::internal("reading a certificate", error))?;
    let refused = |rule: String| Error::invalid("/certificate/signature", rule);
    if keys.is_empty() {
        return Err(refused("that of an agent of the site".to_owned()));
    }
    match verify(&octets, &keys, &[]) {
        Ok(_) => Ok(()),
        Err(unsound) => Err(refused(format!(
            "that of an agent of the site over this certificate; {unsound}"
        ))),
    }
}

/// Takes a certificate into its triangle's chain and countersigns it.
///
/// # Errors
/// The database's.
pub(super) fn take(
    ctx: &Ctx,
    db: &mut Conn,
    run: &Run,
    certificate: &Certificate,
    nonce_at: Option<DateTime<Utc>>,
    key: &SigningKey,
) -> Result<Countersignature> {
    let fault = |error| Error::internal("countersigning a certificate", error);
    let hash = hash_of(certificate).map_err(fault)?;
    let previous = certificate.previous.clone();
    let chain = store::certificates::chained(ctx, db, run.triangle_id, previous.as_deref())?;
    let mut said = Countersignature {
        run_id: run.id,
        certificate_sha256: hash.clone(),
        received_at: run.received_at,
        nonce_at,
        verdict: certificate.verdict_of_figures(),
        chain,
        server_key: String::new(),
        signature: String::new(),
    };
    said.sign(key).map_err(fault)?;
    let link = Link {
        run: run.id,
        triangle: run.triangle_id,
        hash,
        previous,
        chain,
        countersignature: serde_json::to_string(&said).map_err(fault)?,
    };
    store::certificates::insert(ctx, db, &link)?;
    Ok(said)
}

/// What the server said of the certificates of these runs.
///
/// # Errors
/// The database's.
pub(super) fn said_of(
    ctx: &Ctx,
    db: &mut Conn,
    runs: &[RunId],
) -> Result<HashMap<RunId, Countersignature>> {
    let mut all = HashMap::new();
    for (_, text) in store::certificates::said_of(ctx, db, runs)? {
        let said: Countersignature = serde_json::from_str(&text)
            .map_err(|error| Error::internal("reading a countersignature", error))?;
        all.insert(said.run_id, said);
    }
    Ok(all)
}
