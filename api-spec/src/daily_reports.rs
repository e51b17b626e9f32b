//! The owner's daily report as the server keeps it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::DailyReportId;
use crate::tenants::Language;

/// The verdict of a day: the worst of its triangles, from the top.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DayVerdict {
    /// A Tx that was due did not arrive. Silence is red.
    Missing,
    /// Something differs that nothing explains.
    Unbalanced,
    /// A corner could not be read whole, mail is on its way, or a Tx failed.
    Unproven,
    /// Each Tx found all corners equal.
    Balanced,
    /// No Tx was due.
    NoTx,
}

/// A report in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DailyReportSummary {
    /// The report.
    pub id: DailyReportId,
    /// The day in the tenant's zone.
    pub local_day: NaiveDate,
    /// The day's verdict.
    pub verdict: DayVerdict,
    /// The verdict in a sentence, as the mail's subject has it.
    pub subject: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// How far a report's mail to one recipient has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its first or next attempt.
    Pending,
    /// Taken by the mail server.
    Sent,
    /// Refused for good, or tried too often.
    Failed,
}

/// A report's mail to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Who.
    pub recipient: String,
    /// The mail's Message-ID (RFC 5322), the same in each attempt.
    pub message_id: String,
    /// How far.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u64,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DailyReport {
    /// What the list has.
    #[serde(flatten)]
    pub summary: DailyReportSummary,
    /// Its language.
    pub language: Language,
    /// The plain text that was sent.
    pub text: String,
    /// The HTML that was sent.
    pub html: String,
    /// Its mails.
    pub deliveries: Vec<Delivery>,
}
