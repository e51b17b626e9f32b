//! The one door to the project's tasks, and the mail laboratory that its tests share.
//!
//! The laboratory ([`lab`]) starts real servers (Dovecot, OpenSMTPD, PostgreSQL) in folders of their own, on free
//! loopback ports, and takes them away again. Everything here blocks and knows neither the agent nor the server:
//! what judges them must not share their code.

pub mod lab;
pub mod task;
