//! What a handler takes from a request: who asks, the body, the query, the version that was read, the key
//! of a repeatable request. Who asks is always settled first: a body is looked at only after that.

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures::future::LocalBoxFuture;
use maildreieck_api_spec::ids::TenantId;
use serde::de::DeserializeOwned;
use tracing_actix_web::RequestId;
use uuid::Uuid;

use crate::app::App;
use crate::context::{Ctx, Principal, Scope};
use crate::domain::field::Field;
use crate::error::{Error, Kind, Result};
use crate::problem::Failure;
use crate::service;
use crate::service::transact::{Answer, Once, Place};

/// The request's id.
pub fn request_id(request: &HttpRequest) -> Uuid {
    request
        .extensions()
        .get::<RequestId>()
        .map_or_else(Uuid::now_v7, |id| **id)
}

fn app(request: &HttpRequest) -> Result<Data<App>> {
    request
        .app_data::<Data<App>>()
        .cloned()
        .ok_or_else(|| Error::internal("a request", "the server is not attached"))
}

fn visitor(request: &HttpRequest) -> Result<(Data<App>, Ctx)> {
    let app = app(request)?;
    let now = app.clock.now();
    Ok((
        app,
        Ctx {
            principal: Principal::Anonymous,
            scope: Scope::Provider,
            request_id: request_id(request),
            now,
        },
    ))
}

fn bearer(headers: &HeaderMap) -> Result<String> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "This needs an access token: `Authorization: Bearer …`.",
        )
    })?;
    value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
        .ok_or_else(service::tokens::refused)
}

/// Somebody who is not known, nor need be.
pub struct Visitor(pub Ctx);

impl FromRequest for Visitor {
    type Error = Failure;
    type Future = std::future::Ready<std::result::Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(
            visitor(request)
                .map(|(_, ctx)| Self(ctx))
                .map_err(Into::into),
        )
    }
}

/// A person who is logged in, in the tenant that the path names, if it names one.
pub struct Person(pub Ctx);

impl FromRequest for Person {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, std::result::Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (app, visitor) = visitor(&request)?;
            let token = bearer(request.headers())?;
            let tenant: Option<TenantId> = match request.match_info().get("tenant_id") {
                Some(text) => Some(text.parse().map_err(|_| Error::not_found("tenant"))?),
                None => None,
            };
            let ctx = service::auth::person(&app, &visitor, &token, tenant).await?;
            Ok(Self(ctx))
        })
    }
}

/// An agent that has proved itself.
pub struct Machine(pub Ctx);

impl FromRequest for Machine {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, std::result::Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (app, visitor) = visitor(&request)?;
            let token = bearer(request.headers())?;
            Ok(Self(service::agents::known(&app, &visitor, &token).await?))
        })
    }
}

/// An id at the end of a path. What is no id names nothing.
pub fn id<T: std::str::FromStr>(request: &HttpRequest, name: &str, noun: &str) -> Result<T> {
    request
        .match_info()
        .get(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::not_found(noun))
}

/// A body of JSON of at most `LIMIT` octets, read but not yet looked at.
pub struct Body<const LIMIT: usize = 65_536> {
    octets: Result<Bytes>,
    json: bool,
}

impl<const LIMIT: usize> FromRequest for Body<LIMIT> {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, std::result::Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let json = request
            .content_type()
            .trim()
            .eq_ignore_ascii_case("application/json");
        let announced = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let payload = actix_web::web::Payload::from_request(request, payload).into_inner();
        Box::pin(async move {
            let too_large = || {
                Err(Error::new(
                    Kind::TooLarge,
                    format!("At most {LIMIT} octets are taken here."),
                ))
            };
            let octets = match payload {
                _ if announced.is_some_and(|length| length > LIMIT) => too_large(),
                Ok(payload) => match payload.to_bytes_limited(LIMIT).await {
                    Ok(Ok(octets)) => Ok(octets),
                    Ok(Err(_)) => Err(Error::new(Kind::Malformed, "The body broke off.")),
                    Err(_) => too_large(),
                },
                Err(_) => Err(Error::new(Kind::Malformed, "The body cannot be read.")),
            };
            Ok(Self { octets, json })
        })
    }
}

impl<const LIMIT: usize> Body<LIMIT> {
    /// The body's octets.
    ///
    /// # Errors
    /// It was too long or broke off.
    pub fn octets(&self) -> Result<&Bytes> {
        self.octets
            .as_ref()
            .map_err(|error| Error::new(error.kind, error.public.clone()))
    }

    /// The body as a value.
    ///
    /// # Errors
    /// `Malformed` for no JSON, `Invalid` with the field for JSON of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let octets = self.octets()?;
        if !self.json {
            return Err(Error::new(
                Kind::UnsupportedMediaType,
                "The body must be `application/json`.",
            ));
        }
        // An array would be taken for an object by position.
        if octets.iter().find(|octet| !octet.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Error::invalid("", "a JSON object"));
        }
        let mut reader = serde_json::Deserializer::from_slice(octets);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(wrong)?;
        reader
            .end()
            .map_err(|_| Error::new(Kind::Malformed, "There is something behind the JSON."))?;
        Ok(value)
    }
}

fn wrong(error: serde_path_to_error::Error<serde_json::Error>) -> Error {
    use serde_json::error::Category;
    if error.inner().classify() != Category::Data {
        return Error::new(
            Kind::Malformed,
            format!(
                "The body is no JSON, from line {} column {} on.",
                error.inner().line(),
                error.inner().column()
            ),
        );
    }
    let mut pointer = String::new();
    for segment in error.path() {
        use serde_path_to_error::Segment;
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let text = error.inner().to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    if let Some(name) = quoted(text, "unknown field `").or_else(|| quoted(text, "missing field `"))
        && !pointer.ends_with(&format!("/{name}"))
    {
        pointer.push('/');
        pointer.push_str(name);
    }
    let rule: String = text.chars().take(300).collect();
    Error::invalid(pointer, rule)
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split('`').next()
}

/// A query, all of whose parameters may be absent.
///
/// # Errors
/// `Malformed` with the parameter that is wrong or unknown.
pub fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T> {
    let text = request.query_string();
    serde_urlencoded::from_str(text).map_err(|error| {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).unwrap_or_default();
        // Each alone, to see which it is.
        let found = pairs.iter().find_map(|(name, value)| {
            let alone = serde_urlencoded::to_string([(name, value)]).ok()?;
            let error = serde_urlencoded::from_str::<T>(&alone).err()?;
            Some((name.clone(), error.to_string()))
        });
        let (name, rule) = found.unwrap_or_else(|| (String::new(), error.to_string()));
        Error {
            kind: Kind::Malformed,
            fields: vec![Field {
                pointer: format!("?{}", name.chars().take(64).collect::<String>()),
                rule: rule.chars().take(300).collect(),
            }],
            ..Error::new(Kind::Malformed, "The query says what cannot be.")
        }
    })
}

/// The version that a change was made to, from `If-Match`.
///
/// # Errors
/// `PreconditionRequired` without one.
pub fn version(request: &HttpRequest) -> Result<u64> {
    let value = request.headers().get(header::IF_MATCH).ok_or_else(|| {
        Error::new(
            Kind::PreconditionRequired,
            "Send the `ETag` of what was read as `If-Match`.",
        )
    })?;
    // What is no version of ours matches none: versions begin with 1.
    Ok(value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok())
        .unwrap_or(0))
}

/// A version as `ETag`.
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// How to answer a creation once, by the request's `Idempotency-Key` if it has one.
///
/// # Errors
/// `Malformed` for a key that is none.
pub fn once<T, const LIMIT: usize>(
    app: &App,
    ctx: &Ctx,
    request: &HttpRequest,
    body: &Body<LIMIT>,
    answer: fn(&T) -> Answer,
) -> Result<Once<T>> {
    let kept = match request.headers().get("idempotency-key") {
        None => None,
        Some(key) => {
            let key = key
                .to_str()
                .ok()
                .filter(|key| (1..=128).contains(&key.len()))
                .ok_or_else(|| {
                    Error::new(
                        Kind::Malformed,
                        "An Idempotency-Key has 1 to 128 visible ASCII characters.",
                    )
                })?;
            let place = Place {
                principal: ctx.principal.key(),
                method: request.method().to_string(),
                path: request.path().to_owned(),
                key: key.to_owned(),
            };
            Some((place, app.keys.fingerprint(body.octets()?)))
        }
    };
    Ok(Once {
        kept,
        answer,
        repeat: answer,
    })
}
