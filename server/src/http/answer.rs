//! How answers leave: JSON, with the version as `ETag` where there is one, the request's id on each, and
//! every error as problem details, the framework's own included.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use serde::Serialize;

use super::extract::{etag, request_id};
use crate::error::{Error, Kind};
use crate::problem::Failure;
use crate::service::transact::Answer;

/// What a handler returns.
pub type Handled = Result<HttpResponse, Failure>;

/// 200 with a body.
pub fn ok<T: Serialize>(body: &T) -> Handled {
    Ok(HttpResponse::Ok().json(body))
}

/// 200 with a body and its version.
pub fn versioned<T: Serialize>(body: &T, version: u64) -> Handled {
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, etag(version)))
        .json(body))
}

/// The answer to a creation.
pub fn created(answer: &Answer) -> Handled {
    let status = StatusCode::from_u16(answer.status)
        .map_err(|error| Error::internal("a kept answer", error))?;
    let mut response = HttpResponse::build(status);
    if let Some(location) = &answer.location {
        response.insert_header((header::LOCATION, location.clone()));
    }
    if let Some(etag) = &answer.etag {
        response.insert_header((header::ETAG, etag.clone()));
    }
    Ok(response.json(&answer.body))
}

/// Puts the request's id on each answer, and makes each error a problem that names it.
///
/// # Errors
/// What the framework itself could not answer.
pub async fn complete<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<BoxBody, B>>, actix_web::Error> {
    let id = request_id(request.request());
    // HEAD is GET without its body (RFC 9110, 9.3.2), which the connection leaves off by itself.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let answered = next.call(request).await?;
    let status = answered.status();
    let error = answered.response().error();
    let failure = match error.and_then(|error| error.as_error::<Failure>()) {
        Some(failure) => Some(failure.error_response_in(id)),
        // The framework's own, of which the status says all that may be told.
        None if error.is_some() || status.is_client_error() || status.is_server_error() => {
            Some(Failure::from(of_status(status)).error_response_in(id))
        }
        None => None,
    };
    let mut answered = match failure {
        Some(response) => {
            let (request, _) = answered.into_parts();
            ServiceResponse::new(request, response).map_into_left_body()
        }
        None => answered.map_into_right_body(),
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        answered
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(answered)
}

fn of_status(status: StatusCode) -> Error {
    match status {
        StatusCode::NOT_FOUND => Error::new(Kind::NotFound, "There is nothing here."),
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::TooLarge, "The request is too long."),
        status if status.is_client_error() => {
            Error::new(Kind::Malformed, "The request cannot be read.")
        }
        status => Error::internal("the framework", status.to_string()),
    }
}
