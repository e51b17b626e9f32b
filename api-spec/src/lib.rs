//! The contract: what server, agent and people say to each other, as types, and `openapi.json`, which the
//! server generates from them. It knows nothing of how either side works.

pub mod agents;
pub mod certificate;
pub mod ids;
pub mod problem;
pub mod runs;
pub mod vocabulary;
