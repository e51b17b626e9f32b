//! Mail accounts. No password is taken: a body that has one is refused.

use actix_web::web::Data;
use actix_web::{HttpRequest, get, post, put};
use maildreieck_api_spec::accounts::{Account, AccountConfig};
use maildreieck_api_spec::ids::{AccountId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};

use super::answer::{Handled, created, ok, versioned};
use super::convert;
use super::extract::{Body, Person, id, once, query, version};
use crate::app::App;
use crate::service;

/// The tenant's accounts, newest first.
#[utoipa::path(
    tag = "accounts", operation_id = "list_accounts",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of accounts.", body = Page<Account>))
)]
#[get("/api/v1/tenants/{tenant_id}/accounts")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::accounts::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, convert::account))
}

/// Add an account.
#[utoipa::path(
    tag = "accounts", operation_id = "create_account", request_body = AccountConfig,
    params(("tenant_id" = TenantId, Path, description = "The tenant.")),
    responses((status = 201, description = "The account.", body = Account))
)]
#[post("/api/v1/tenants/{tenant_id}/accounts")]
pub async fn create(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let once = once(
        &app,
        &ctx,
        &request,
        &body,
        |made: &service::accounts::Account| {
            let account = convert::account(made.clone());
            // Relative to the list's own path (RFC 9110, 10.2.2).
            let location = format!("accounts/{}", account.id);
            convert::made(&account, location, Some(made.version))
        },
    )?;
    let new = convert::account_setting(body.read()?);
    created(&service::accounts::create(&app, &ctx, new, once).await?)
}

/// An account.
#[utoipa::path(
    tag = "accounts", operation_id = "read_account",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("account_id" = AccountId, Path, description = "The account.")
    ),
    responses((status = 200, description = "The account.", body = Account))
)]
#[get("/api/v1/tenants/{tenant_id}/accounts/{account_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let made = service::accounts::read(&app, &ctx, id(&request, "account_id", "account")?).await?;
    let version = made.version;
    versioned(&convert::account(made), version)
}

/// Change an account.
#[utoipa::path(
    tag = "accounts", operation_id = "update_account", request_body = AccountConfig,
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("account_id" = AccountId, Path, description = "The account.")
    ),
    responses((status = 200, description = "The account.", body = Account))
)]
#[put("/api/v1/tenants/{tenant_id}/accounts/{account_id}")]
pub async fn update(
    app: Data<App>,
    Person(ctx): Person,
    request: HttpRequest,
    body: Body,
) -> Handled {
    let id = id(&request, "account_id", "account")?;
    let was = version(&request)?;
    let new = convert::account_setting(body.read()?);
    let made = service::accounts::update(&app, &ctx, id, was, new).await?;
    let version = made.version;
    versioned(&convert::account(made), version)
}
