//! The contract: what server, agent and people say to each other, as types, and `openapi.json`, which the
//! server generates from them. It knows nothing of how either side works.

pub mod accounts;
pub mod agents;
pub mod audit;
pub mod auth;
pub mod certificate;
pub mod daily_reports;
pub mod enrolment_codes;
pub mod fleet;
pub mod health;
pub mod ids;
pub mod page;
pub mod problem;
pub mod runs;
pub mod sites;
pub mod tenants;
pub mod text;
pub mod triangles;
pub mod users;
pub mod vocabulary;
