//! Enrolment codes.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post};
use maildreieck_api_spec::enrolment_codes::{EnrolmentCode, IssuedEnrolmentCode};
use maildreieck_api_spec::ids::{SiteId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};

use super::answer::{Handled, created, ok};
use super::convert;
use super::extract::{Body, Person, id, once, query};
use crate::app::App;
use crate::service;
use crate::service::enrolment_codes::Issued;
use crate::service::transact::Answer;

/// The site's enrolment codes, newest first, without the codes.
#[utoipa::path(
    tag = "sites", operation_id = "list_enrolment_codes",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("site_id" = SiteId, Path, description = "The site."),
        PageQuery
    ),
    responses((status = 200, description = "A page of codes.", body = Page<EnrolmentCode>))
)]
#[get("/api/v1/tenants/{tenant_id}/sites/{site_id}/enrolment-codes")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let site: SiteId = id(&request, "site_id", "site")?;
    let query: PageQuery = query(&request)?;
    let page = service::enrolment_codes::list(&app, &ctx, site, &query).await?;
    ok(&convert::page(page, convert::enrolment_code))
}

/// Make an enrolment code for a site.
///
/// It is good once and for an hour, and shown in this answer alone. A body is not needed.
#[utoipa::path(
    tag = "sites", operation_id = "create_enrolment_code",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("site_id" = SiteId, Path, description = "The site.")
    ),
    responses((status = 201, description = "The code.", body = IssuedEnrolmentCode))
)]
#[post("/api/v1/tenants/{tenant_id}/sites/{site_id}/enrolment-codes")]
pub async fn create(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let site: SiteId = id(&request, "site_id", "site")?;
    let mut once = once(&app, &ctx, &request, &body, |issued: &Issued| {
        answer(issued, Some(issued.code.clone()))
    })?;
    once.repeat = |issued| answer(issued, None);
    created(&service::enrolment_codes::create(&app, &ctx, site, once).await?)
}

fn answer(issued: &Issued, code: Option<String>) -> Answer {
    let mut answer = convert::made(&convert::issued_code(issued, code), String::new(), None);
    answer.location = None;
    answer
}
