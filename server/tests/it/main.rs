//! The server, tested from outside: a real listener, a real database (each test on SQLite and on
//! PostgreSQL), a clock that stands until it is moved.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

mod agents;
mod app;
mod audit;
mod audit_reading;
mod bad_input;
mod certificates;
mod cli;
mod configuration;
mod daily_reports;
mod idempotency;
mod isolation;
mod mail;
mod openapi;
mod pages;
mod people;
mod row_security;
mod runs;
mod schema;
mod two_instances;
