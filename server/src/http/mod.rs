//! The API over HTTP: `/api/v1` for people, `/agent/v1` for agents. A handler extracts, calls a service
//! and converts; it decides nothing, and never sees a statement or the schema.

mod accounts;
mod agent;
mod agents;
mod answer;
mod audit;
mod auth;
mod convert;
mod daily_reports;
mod enrolment_codes;
mod extract;
mod health;
mod log;
mod members;
mod methods;
pub mod openapi;
mod routes;
mod runs;
pub mod serve;
mod sites;
mod tenants;
mod triangles;
mod users;
