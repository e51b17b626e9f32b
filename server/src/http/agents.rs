//! Agents as people see them.

use actix_web::web::Data;
use actix_web::{HttpRequest, get};
use maildreieck_api_spec::fleet::Agent;
use maildreieck_api_spec::ids::{AgentId, TenantId};
use maildreieck_api_spec::page::{Page, PageQuery};

use super::answer::{Handled, ok};
use super::convert;
use super::extract::{Person, id, query};
use crate::app::App;
use crate::service;

/// The tenant's agents, newest first, those that were replaced included.
#[utoipa::path(
    tag = "agents", operation_id = "list_agents",
    params(("tenant_id" = TenantId, Path, description = "The tenant."), PageQuery),
    responses((status = 200, description = "A page of agents.", body = Page<Agent>))
)]
#[get("/api/v1/tenants/{tenant_id}/agents")]
pub async fn list(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let page = service::agents::list(&app, &ctx, &query::<PageQuery>(&request)?).await?;
    ok(&convert::page(page, |agent| convert::agent(agent, ctx.now)))
}

/// An agent.
#[utoipa::path(
    tag = "agents", operation_id = "read_agent",
    params(
        ("tenant_id" = TenantId, Path, description = "The tenant."),
        ("agent_id" = AgentId, Path, description = "The agent.")
    ),
    responses((status = 200, description = "The agent.", body = Agent))
)]
#[get("/api/v1/tenants/{tenant_id}/agents/{agent_id}")]
pub async fn read(app: Data<App>, Person(ctx): Person, request: HttpRequest) -> Handled {
    let agent: AgentId = id(&request, "agent_id", "agent")?;
    let agent = service::agents::read(&app, &ctx, agent).await?;
    ok(&convert::agent(agent, ctx.now))
}
