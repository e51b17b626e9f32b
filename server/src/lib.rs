//! The central multi-tenant server. Imports run one way: http → service → {store, domain}; store → db;
//! jobs → service; domain → nothing. http never names the schema, store no request or response type.

pub mod clock;
pub mod context;
pub mod db;
pub mod domain;
pub mod error;
pub mod keys;
pub mod problem;
pub mod store;
