//! What agents ask and tell: `/agent/v1`.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post, put};
use maildreieck_api_spec::agents::{
    Assignment, EnrolRequest, EnrolResponse, Heartbeat, HeartbeatResponse, NonceResponse,
    RunNonceResponse, TokenRequest, TokenResponse,
};
use maildreieck_api_spec::certificate::key_text;
use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::runs::{RunReceipt, RunReport};

use super::answer::{Handled, ok, versioned};
use super::convert;
use super::extract::{Body, Machine, Visitor, etag, id};
use crate::app::App;
use crate::service;

/// The longest report of a run: a certificate has a line for each folder and corner.
const RUN_LIMIT: usize = 4 * 1024 * 1024;
/// When an agent is to come again, in seconds.
const POLL_AFTER_S: u64 = 45;

/// Become the agent of a site, with a single-use code.
///
/// The same agent (by its keys) that asks again with the same code gets the same answer.
#[utoipa::path(
    tag = "agent", operation_id = "enrol", request_body = EnrolRequest,
    responses((status = 201, description = "Who the agent is from now on.", body = EnrolResponse))
)]
#[post("/agent/v1/enrol")]
pub async fn enrol(app: Data<App>, Visitor(ctx): Visitor, body: Body) -> Handled {
    let new: EnrolRequest = body.read()?;
    let new = service::agents::Candidate {
        code: new.code,
        signing_key: new.signing_key,
        sealing_key: new.sealing_key,
        version: new.version,
        platform: new.platform,
    };
    let agent = service::agents::enrol(&app, &ctx, new).await?;
    Ok(HttpResponse::Created().json(EnrolResponse {
        agent_id: agent.id,
        site_id: agent.site_id,
        tenant_id: agent.tenant_id,
        audience: app.settings.audience.clone(),
        server_key: key_text(&app.keys.countersigning.verifying_key()),
    }))
}

/// Get a nonce to sign, good once and for two minutes.
#[utoipa::path(
    tag = "agent", operation_id = "nonce",
    responses((status = 200, description = "The nonce.", body = NonceResponse))
)]
#[post("/agent/v1/nonce")]
pub async fn nonce(app: Data<App>, Visitor(ctx): Visitor) -> Handled {
    let (nonce, expires_at) = service::agents::nonce(&app, &ctx)?;
    ok(&NonceResponse { nonce, expires_at })
}

/// Get an access token for a signed assertion.
///
/// The token is good for ten minutes. The assertion is good for at most five, by the server's clock and with a
/// minute's leeway: take its times from the nonce's `expires_at`. A counter that did not grow means that somebody else has the
/// agent's key: `/problems/clone-suspected`.
#[utoipa::path(
    tag = "agent", operation_id = "token", request_body = TokenRequest,
    responses((status = 200, description = "The token.", body = TokenResponse))
)]
#[post("/agent/v1/token")]
pub async fn token(app: Data<App>, Visitor(ctx): Visitor, body: Body) -> Handled {
    let request: TokenRequest = body.read()?;
    let (access_token, expires_in_s) =
        service::agents::token(&app, &ctx, request.assertion).await?;
    ok(&TokenResponse {
        access_token,
        expires_in_s,
    })
}

/// What the agent has to do.
#[utoipa::path(
    tag = "agent", operation_id = "assignment",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last assignment.")),
    responses(
        (status = 200, description = "The assignment.", body = Assignment),
        (status = 304, description = "The same as the one that `If-None-Match` names.")
    )
)]
#[get("/agent/v1/assignment")]
pub async fn assignment(app: Data<App>, Machine(ctx): Machine, request: HttpRequest) -> Handled {
    let assignment = service::assignment::read(&app, &ctx).await?;
    let version = assignment.version;
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known == Some(etag(version).as_str()) {
        return Ok(HttpResponse::NotModified()
            .insert_header((header::ETAG, etag(version)))
            .finish());
    }
    versioned(&convert::assignment(assignment), version)
}

/// A sign of life.
#[utoipa::path(
    tag = "agent", operation_id = "heartbeat", request_body = Heartbeat,
    responses((status = 200, description = "The server's clock, and whether there is something new.", body = HeartbeatResponse))
)]
#[post("/agent/v1/heartbeat")]
pub async fn heartbeat(app: Data<App>, Machine(ctx): Machine, body: Body) -> Handled {
    let beat: Heartbeat = body.read()?;
    let sign = service::agents::Sign {
        version: beat.version,
        platform: beat.platform,
        last_cycle_at: beat.last_cycle_at,
        skew_ms: 0,
        spooled_runs: beat.spooled_runs,
        store_bytes: beat.store_bytes,
        free_disk_bytes: beat.free_disk_bytes,
    };
    let assignment_version = service::agents::heartbeat(&app, &ctx, beat.sent_at, sign).await?;
    ok(&HeartbeatResponse {
        server_time: ctx.now,
        assignment_version,
        poll_after_s: POLL_AFTER_S,
    })
}

/// Get a nonce for the certificate of a run that begins.
///
/// It is good for this run alone. A certificate that bears it is no older than it is; one without says `unanchored`.
#[utoipa::path(
    tag = "agent", operation_id = "run_nonce",
    params(("run_id" = RunId, Path, description = "The run's id, as its report will have it.")),
    responses((status = 200, description = "The nonce.", body = RunNonceResponse))
)]
#[post("/agent/v1/runs/{run_id}/nonce")]
pub async fn run_nonce(app: Data<App>, Machine(ctx): Machine, request: HttpRequest) -> Handled {
    let run_id: RunId = id(&request, "run_id", "run")?;
    ok(&RunNonceResponse {
        nonce: service::certificates::nonce(&app, &ctx, run_id)?,
    })
}

/// Deliver the report of a run.
///
/// The same report again gets the same receipt; another one under the same id is a conflict. What contradicts
/// itself is refused: a verdict that is not the figures', corners that differ by more than the listed
/// differences, totals that are no sums; a certificate that no agent of the site signed, or with a nonce that is not this run's. So is a due time at which the schedule is not due and never was.
/// `/problems/clocks-differ`: it says a time more than five minutes to come; keep it until then.
#[utoipa::path(
    tag = "agent", operation_id = "put_run", request_body = RunReport,
    params(("run_id" = RunId, Path, description = "UUIDv5 of schedule and due time, or any UUIDv5 for a run that a person started.")),
    responses((status = 200, description = "It is committed.", body = RunReceipt))
)]
#[put("/agent/v1/runs/{run_id}")]
pub async fn put_run(
    app: Data<App>,
    Machine(ctx): Machine,
    request: HttpRequest,
    body: Body<RUN_LIMIT>,
) -> Handled {
    let run_id: RunId = id(&request, "run_id", "run")?;
    let report: RunReport = body.read()?;
    let (received_at, countersignature) = service::runs::put(&app, &ctx, run_id, report).await?;
    ok(&RunReceipt {
        run_id,
        received_at,
        countersignature,
    })
}
