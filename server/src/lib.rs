//! The central multi-tenant server. Imports run one way: http → service → {store, domain}; store → db;
//! jobs → service; domain → nothing. http never names the schema, store no request or response type.

pub mod app;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod domain;
pub mod error;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod mail;
pub mod problem;
pub mod run;
pub mod service;
pub mod store;
