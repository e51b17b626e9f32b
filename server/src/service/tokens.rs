//! Access tokens: signed by the server (HS256), good for minutes, saying who and nothing more. Role and
//! tenant are read from the database at each request. Time is held against the server's clock here, since
//! the library would ask the machine's.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation};
use maildreieck_api_spec::ids::{AgentId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::error::{Error, Kind, Result};

/// How long a person's token is good.
pub const PERSON: TimeDelta = TimeDelta::minutes(15);
/// How long an agent's token is good.
pub const AGENT: TimeDelta = TimeDelta::minutes(10);

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Bearer {
    /// A person's.
    User {
        /// Who.
        id: UserId,
    },
    /// An agent's.
    Agent {
        /// Which.
        id: AgentId,
        /// Of which tenant, to find its row.
        tenant: TenantId,
    },
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    bearer: Bearer,
}

/// A token and its life in seconds.
///
/// # Errors
/// Our own.
pub fn issue(app: &App, bearer: Bearer, now: DateTime<Utc>) -> Result<(String, u64)> {
    let (sub, life) = match bearer {
        Bearer::User { id } => (id.to_string(), PERSON),
        Bearer::Agent { id, .. } => (id.to_string(), AGENT),
    };
    let claims = Claims {
        iss: app.settings.audience.clone(),
        aud: app.settings.audience.clone(),
        sub,
        jti: Uuid::now_v7().to_string(),
        iat: now.timestamp(),
        nbf: now.timestamp(),
        exp: (now + life).timestamp(),
        bearer,
    };
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &app.keys.token_signing,
    )
    .map_err(|error| Error::internal("signing a token", error))?;
    Ok((token, u64::try_from(life.num_seconds()).unwrap_or(0)))
}

/// Whose token it is, if it is ours and good now.
///
/// # Errors
/// `Unauthenticated` for any other.
pub fn check(app: &App, token: &str, now: DateTime<Utc>) -> Result<Bearer> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    rules.set_audience(&[&app.settings.audience]);
    rules.set_issuer(&[&app.settings.audience]);
    rules.leeway = 0;
    rules.validate_exp = false;
    rules.validate_nbf = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &app.keys.token_checking, &rules)
        .map_err(|_| refused())?
        .claims;
    let at = now.timestamp();
    if claims.nbf <= at && at < claims.exp {
        Ok(claims.bearer)
    } else {
        Err(refused())
    }
}

/// The answer to a token that is not good.
#[must_use]
pub fn refused() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "The access token is not good, or no longer; get a new one.",
    )
}
