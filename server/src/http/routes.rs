//! Every route, once: what is not here does not exist, and what is here is in `openapi.json`.

use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    accounts, agent, agents, audit, auth, daily_reports, enrolment_codes, health, members, runs,
    sites, tenants, triangles, users,
};

/// Adds all routes.
pub fn all(config: &mut ServiceConfig<'_>) {
    config
        .service(health::health)
        .service(auth::login)
        .service(users::me)
        .service(users::list)
        .service(users::create)
        .service(users::read)
        .service(tenants::list)
        .service(tenants::create)
        .service(tenants::read)
        .service(tenants::update)
        .service(members::list)
        .service(members::put_one)
        .service(members::remove)
        .service(sites::list)
        .service(sites::create)
        .service(sites::read)
        .service(sites::update)
        .service(enrolment_codes::list)
        .service(enrolment_codes::create)
        .service(accounts::list)
        .service(accounts::create)
        .service(accounts::read)
        .service(accounts::update)
        .service(triangles::list)
        .service(triangles::create)
        .service(triangles::read)
        .service(triangles::update)
        .service(agents::list)
        .service(agents::read)
        .service(runs::list)
        .service(runs::read)
        .service(daily_reports::list)
        .service(daily_reports::read)
        .service(audit::list)
        .service(audit::export)
        .service(audit::list_provider)
        .service(audit::export_provider)
        .service(agent::enrol)
        .service(agent::nonce)
        .service(agent::token)
        .service(agent::assignment)
        .service(agent::heartbeat)
        .service(agent::run_nonce)
        .service(agent::put_run);
}
