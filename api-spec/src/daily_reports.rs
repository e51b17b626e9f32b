//! The owner's daily report as the server keeps it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::DailyReportId;
pub use crate::vocabulary::{DayVerdict, DeliveryState, Language};

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
