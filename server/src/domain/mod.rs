//! What is true without a database, a clock or a socket: who may do what, when a schedule is due, which
//! triangles may share a standby, what an audit record hashes to, what a day's verdict is. Pure: values
//! in, values out, no import of any other room.

pub mod agent_state;
pub mod audit;
pub mod chain;
pub mod cron;
pub mod day;
pub mod enrolment;
pub mod field;
pub mod letter;
pub mod operations;
pub mod report;
pub mod standby;
