//! Errors on the wire (RFC 9457). The one file that knows status codes: a kind of failure becomes a
//! stable type, a title and a status here and nowhere else. A failure of ours is logged here, once.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use maildreieck_api_spec::problem::{FieldError, Problem};
use uuid::Uuid;

use crate::error::{Error, Kind};

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A failure with the request that it answers.
#[derive(Debug)]
pub struct Failure {
    /// What failed.
    pub error: Error,
    /// The methods that a resource has, where the request's is not among them.
    pub allow: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, allow: None }
    }
}

impl Failure {
    /// The answer, naming the request.
    #[must_use]
    pub fn error_response_in(&self, id: Uuid) -> HttpResponse {
        self.respond(Some(id))
    }

    fn respond(&self, request_id: Option<Uuid>) -> HttpResponse {
        let mut problem = self.problem();
        problem.request_id = request_id.map(|id| id.to_string());
        if self.error.kind == Kind::Internal {
            let why = self.error.private.as_ref().map(ToString::to_string);
            tracing::error!(request_id = ?problem.request_id, why, "a request failed by our own fault");
        }
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)));
        if self.error.kind.temporary() {
            response.insert_header((header::RETRY_AFTER, "1"));
        }
        if self.error.kind == Kind::Unauthenticated || self.error.kind == Kind::CloneSuspected {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        match serde_json::to_string(&problem) {
            Ok(body) => response.body(body),
            Err(_) => response.finish(),
        }
    }

    /// The problem details object.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (status, kind, title) = on_the_wire(self.error.kind);
        Problem {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: Some(self.error.public.clone()),
            request_id: None,
            errors: self
                .error
                .fields
                .iter()
                .map(|field| FieldError {
                    pointer: field.pointer.clone(),
                    rule: field.rule.clone(),
                })
                .collect(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        on_the_wire(self.error.kind).0
    }

    /// For the framework; [`crate::http`] makes the one that goes out, which names the request.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)));
        response.json(self.problem())
    }
}

/// Status, stable type and title of each kind.
fn on_the_wire(kind: Kind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        Kind::Malformed => (
            StatusCode::BAD_REQUEST,
            "malformed",
            "The request cannot be read",
        ),
        Kind::Invalid => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "The request says what cannot be",
        ),
        Kind::ClocksDiffer => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "clocks-differ",
            "The clocks differ",
        ),
        Kind::Unauthenticated => (
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Who is asking is not known",
        ),
        Kind::CloneSuspected => (
            StatusCode::UNAUTHORIZED,
            "clone-suspected",
            "Two agents use one key",
        ),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
        Kind::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The resource has no such method",
        ),
        Kind::Conflict => (
            StatusCode::CONFLICT,
            "conflict",
            "It contradicts what is there",
        ),
        Kind::InFlight => (
            StatusCode::CONFLICT,
            "in-flight",
            "The same request is being answered",
        ),
        Kind::KeyReused => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "Another request under the same key",
        ),
        Kind::PreconditionFailed => (
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "It has changed meanwhile",
        ),
        Kind::PreconditionRequired => (
            StatusCode::PRECONDITION_REQUIRED,
            "precondition-required",
            "A change needs If-Match",
        ),
        Kind::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The request is too long",
        ),
        Kind::UnsupportedMediaType => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The request is not JSON",
        ),
        Kind::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Too much to do",
        ),
        Kind::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
        ),
    }
}
