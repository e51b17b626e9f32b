//! Agents: how they are enrolled, how they become known, and their signs of life. An agent proves itself
//! by signing a one-use nonce of the server's; its counter exposes a second agent with the same key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use maildreieck_api_spec::agents::AssertionClaims;
use maildreieck_api_spec::ids::{AgentId, SiteId};
use maildreieck_api_spec::page::PageQuery;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::audit::Event;
use super::authorise::authorise;
use super::page::{List, Paged};
use super::tokens::{self, Bearer};
use super::transact;
use crate::app::App;
use crate::context::{Ctx, Principal, Scope};
use crate::domain::enrolment;
use crate::domain::operations::Operation;
use crate::error::{Error, Kind, Result};
use crate::keys::random;
use crate::store;
pub use crate::store::agents::{Agent, Sign};

/// How long a nonce is good.
const NONCE_LIFE: TimeDelta = TimeDelta::minutes(2);

/// How long an assertion may be good; agents make it good for the nonce's life.
const ASSERTION_LIFE: TimeDelta = TimeDelta::minutes(5);
/// How far an assertion's times may be from the server's clock.
const SKEW: TimeDelta = TimeDelta::seconds(60);

/// An agent that wants to be enrolled.
pub struct Candidate {
    /// The code as it was typed.
    pub code: String,
    /// Its Ed25519 public key, base64url.
    pub signing_key: String,
    /// Its X25519 public key, base64url.
    pub sealing_key: String,
    /// Its version.
    pub version: String,
    /// Operating system and architecture.
    pub platform: String,
}

/// Enrols an agent; another one that works at the site is replaced.
///
/// # Errors
/// `Unauthenticated` for a code that is unknown, used by another agent or too old: one answer for all.
pub async fn enrol(app: &App, ctx: &Ctx, new: Candidate) -> Result<Agent> {
    authorise(ctx, Operation::Enrol)?;
    let refused = || {
        Error::new(
            Kind::Unauthenticated,
            "The enrolment code is unknown, used or too old; ask for a new one.",
        )
    };
    check_key(&new.signing_key, "/signing_key", true)?;
    check_key(&new.sealing_key, "/sealing_key", false)?;
    check_label(&new.version, "/version")?;
    check_label(&new.platform, "/platform")?;
    let hash = enrolment::hash(enrolment::read(&new.code).ok_or_else(refused)?);
    let code = app
        .db
        .read(ctx, move |ctx, db| {
            store::enrolment_codes::find_by_hash(ctx, db, &hash)
        })
        .await?
        .filter(|code| code.expires_at > ctx.now)
        .ok_or_else(refused)?;
    if let Some(id) = code.agent_id {
        // The answer may have been lost: the same agent gets it again, another does not.
        return app
            .db
            .read(&ctx.for_tenant(code.tenant_id), move |ctx, db| {
                store::agents::find(ctx, db, id)
            })
            .await?
            .filter(|agent| {
                agent.signing_key == new.signing_key && agent.sealing_key == new.sealing_key
            })
            .ok_or_else(refused);
    }
    let agent = Agent {
        id: AgentId::new(),
        tenant_id: code.tenant_id,
        site_id: code.site_id,
        signing_key: new.signing_key,
        sealing_key: new.sealing_key,
        counter: 0,
        version: new.version,
        platform: new.platform,
        enrolled_at: ctx.now,
        replaced_at: None,
        clone_seen_at: None,
        last_heartbeat_at: None,
        last_cycle_at: None,
        skew_ms: None,
        spooled_runs: 0,
        store_bytes: 0,
        free_disk_bytes: 0,
    };
    let ctx = Ctx {
        principal: Principal::Agent {
            id: agent.id,
            site: agent.site_id,
        },
        ..ctx.for_tenant(code.tenant_id)
    };
    transact::change(app, &ctx, move |ctx, db| {
        if !store::enrolment_codes::use_up(ctx, db, code.id, agent.id)? {
            return Err(refused());
        }
        store::agents::replace_at(ctx, db, agent.site_id)?;
        store::agents::insert(ctx, db, &agent)?;
        store::sites::set_agent(ctx, db, agent.site_id, agent.id)?;
        let details = json!({
            "site": agent.site_id,
            "code": code.id,
            "signing_key_sha256": fingerprint(&agent.signing_key),
            "sealing_key_sha256": fingerprint(&agent.sealing_key),
        });
        let event = Event::new("agent.enrol", "agent", agent.id, details);
        Ok((agent, event))
    })
    .await
}

/// SHA-256 of a key's octets in hex, as the agent prints it.
#[must_use]
pub fn fingerprint(key: &str) -> String {
    hex::encode(Sha256::digest(
        URL_SAFE_NO_PAD.decode(key).unwrap_or_default(),
    ))
}

fn check_key(key: &str, pointer: &str, signing: bool) -> Result<()> {
    let octets: Option<[u8; 32]> = URL_SAFE_NO_PAD
        .decode(key)
        .ok()
        .and_then(|octets| octets.try_into().ok());
    let good = octets.is_some_and(|octets| {
        !signing || ed25519_dalek::VerifyingKey::from_bytes(&octets).is_ok_and(|key| !key.is_weak())
    });
    if good {
        Ok(())
    } else {
        Err(Error::invalid(
            pointer,
            "a public key of 32 octets in base64url without padding",
        ))
    }
}

fn check_label(text: &str, pointer: &str) -> Result<()> {
    if (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Error::invalid(
            pointer,
            "1 to 64 printable ASCII characters without blanks",
        ))
    }
}

/// A nonce to sign: 128 random bits, its end of life and the server's seal. Nothing is stored until one is
/// used, so that asking costs nothing.
///
/// # Errors
/// Our own.
pub fn nonce(app: &App, ctx: &Ctx) -> Result<(String, DateTime<Utc>)> {
    authorise(ctx, Operation::Nonce)?;
    let expires_at = ctx.now + NONCE_LIFE;
    let mut octets = random::<16>()?.to_vec();
    octets.extend(expires_at.timestamp().to_be_bytes());
    let seal = app.keys.seal_nonce(&octets);
    octets.extend(seal);
    Ok((URL_SAFE_NO_PAD.encode(octets), expires_at))
}

/// When a nonce's life ends, if it bears our seal.
fn read_nonce(app: &App, nonce: &str) -> Option<DateTime<Utc>> {
    let octets = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (body, seal) = octets.split_at_checked(24)?;
    if !app.keys.nonce_is_ours(body, seal) {
        return None;
    }
    let seconds = i64::from_be_bytes(*body.last_chunk::<8>()?);
    DateTime::from_timestamp(seconds, 0)
}

/// A token for an agent that proves itself: a token and its life in seconds.
///
/// # Errors
/// `Unauthenticated`; `CloneSuspected` for a counter that did not grow.
pub async fn token(app: &App, ctx: &Ctx, assertion: String) -> Result<(String, u64)> {
    authorise(ctx, Operation::Token)?;
    let refused = || {
        Error::new(
            Kind::Unauthenticated,
            "The assertion does not hold: fetch a new nonce and sign again, or enrol anew.",
        )
    };
    let claimed: AssertionClaims =
        jsonwebtoken::dangerous::insecure_decode_claims(&assertion).map_err(|_| refused())?;
    let id: AgentId = claimed.iss.parse().map_err(|_| refused())?;
    let agent = app
        .db
        .read(ctx, move |ctx, db| {
            store::agents::find_anywhere(ctx, db, id)
        })
        .await?
        .filter(|agent| agent.replaced_at.is_none())
        .ok_or_else(refused)?;
    let claims = proved(app, &agent, &assertion).ok_or_else(refused)?;
    check_times(&claims, ctx.now)?;
    let expires_at = read_nonce(app, &claims.nonce)
        .filter(|end| *end > ctx.now)
        .ok_or_else(refused)?;
    let hash = hex::encode(Sha256::digest(claims.nonce.as_bytes()));
    let tenant = agent.tenant_id;
    let grown = app
        .db
        .write(&ctx.for_tenant(tenant), move |ctx, db| {
            if !store::nonces::use_up(ctx, db, &hash, expires_at)? {
                return Err(refused());
            }
            let grown = store::agents::raise_counter(ctx, db, id, claims.counter)?;
            if !grown {
                store::agents::note_clone(ctx, db, id)?;
            }
            Ok(grown)
        })
        .await?;
    if !grown {
        tracing::warn!(agent = %id, "an agent's counter did not grow: two agents use one key");
        return Err(Error::new(
            Kind::CloneSuspected,
            "The assertion's counter did not grow: another agent uses this key. Enrol anew.",
        ));
    }
    tokens::issue(app, Bearer::Agent { id, tenant }, ctx.now)
}

/// An assertion's times, by the server's clock. An agent takes them from the nonce's end, so that a wrong
/// clock of its own does not lock it out; one that goes by its own clock is told how wrong it is.
fn check_times(claims: &AssertionClaims, now: DateTime<Utc>) -> Result<()> {
    let refused = |public: String| Err(Error::new(Kind::Unauthenticated, public));
    let (Some(life), Some(early), Some(late)) = (
        claims.exp.checked_sub(claims.iat),
        claims.iat.checked_sub(now.timestamp()),
        now.timestamp().checked_sub(claims.exp),
    ) else {
        return refused("The assertion's iat and exp are no times of this age.".to_owned());
    };
    let longest = ASSERTION_LIFE.num_seconds();
    if !(1..=longest).contains(&life) {
        return refused(format!(
            "The assertion is good for {life} seconds from iat to exp; it must be 1 to {longest}."
        ));
    }
    let what = if early > SKEW.num_seconds() {
        format!("was signed {early} seconds after now")
    } else if late > SKEW.num_seconds() {
        format!("ended {late} seconds before now")
    } else {
        return Ok(());
    };
    let clock = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    refused(format!(
        "The clocks differ: the assertion {what} by the server's clock, which says {clock}. Set the agent's clock, or take iat and exp from the nonce's expires_at."
    ))
}

/// The claims, if the agent's key signed them for us; their times are another matter.
fn proved(app: &App, agent: &Agent, assertion: &str) -> Option<AssertionClaims> {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    rules.set_audience(&[&app.settings.audience]);
    rules.set_issuer(&[&agent.id.to_string()]);
    rules.leeway = 0;
    rules.validate_exp = false;
    rules.validate_nbf = false;
    let key = DecodingKey::from_ed_components(&agent.signing_key).ok()?;
    let token = jsonwebtoken::decode::<AssertionClaims>(assertion, &key, &rules).ok()?;
    Some(token.claims)
}

/// The context of an agent's request. Its row is read each time, so that a replaced agent is out at once.
///
/// # Errors
/// `Unauthenticated`.
pub async fn known(app: &App, visitor: &Ctx, token: &str) -> Result<Ctx> {
    let Bearer::Agent { id, tenant } = tokens::check(app, token, visitor.now)? else {
        return Err(tokens::refused());
    };
    let ctx = visitor.for_tenant(tenant);
    let agent = app
        .db
        .read(&ctx, move |ctx, db| store::agents::find(ctx, db, id))
        .await?
        .filter(|agent| agent.replaced_at.is_none())
        .ok_or_else(tokens::refused)?;
    Ok(Ctx {
        principal: Principal::Agent {
            id,
            site: agent.site_id,
        },
        ..ctx
    })
}

/// Which agent acts, at which site.
pub(super) fn acting(ctx: &Ctx) -> Result<(AgentId, SiteId)> {
    match (&ctx.principal, ctx.scope) {
        (Principal::Agent { id, site }, Scope::Tenant(_)) => Ok((*id, *site)),
        _ => Err(tokens::refused()),
    }
}

/// Notes a sign of life: the assignment's version.
///
/// # Errors
/// `Invalid` labels.
pub async fn heartbeat(
    app: &App,
    ctx: &Ctx,
    sent_at: DateTime<Utc>,
    mut sign: Sign,
) -> Result<u64> {
    authorise(ctx, Operation::Heartbeat)?;
    let (id, site) = acting(ctx)?;
    check_label(&sign.version, "/version")?;
    check_label(&sign.platform, "/platform")?;
    sign.skew_ms = (sent_at - ctx.now).num_milliseconds();
    app.db
        .write(ctx, move |ctx, db| {
            store::agents::note_sign(ctx, db, id, &sign)?;
            let site =
                store::sites::find(ctx, db, site)?.ok_or_else(|| Error::not_found("site"))?;
            Ok(site.assignment_version)
        })
        .await
}

/// An agent, for people.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: AgentId) -> Result<Agent> {
    authorise(ctx, Operation::ReadAgent)?;
    app.db
        .read(ctx, move |ctx, db| store::agents::find(ctx, db, id))
        .await?
        .ok_or_else(|| Error::not_found("agent"))
}

/// A page of the tenant's agents, for people.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<Agent>> {
    authorise(ctx, Operation::ListAgents)?;
    let list = List::new(ctx, "agents", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::agents::list(ctx, db, &window)?;
            Ok(list.page(&window, rows, |agent| agent.id.to_string()))
        })
        .await
}
