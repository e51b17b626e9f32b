//! Mail that the server sends: the daily report in words, and the way out. Decides nothing: what is said
//! comes as a value, to whom stands in the outbox.

mod numbers;
pub mod report;
pub mod smtp;
