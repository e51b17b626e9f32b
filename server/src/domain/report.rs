//! The owner's daily report as a value: what is to be said of a day, before any language or layout.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use maildreieck_api_spec::certificate::{Chained, Corners};
use maildreieck_api_spec::vocabulary::{Class, Corner, DayVerdict, Language};

use super::day::TxResult;

/// A day of a tenant.
#[derive(Debug, Clone)]
pub struct Day {
    /// The business.
    pub tenant: String,
    /// Which day.
    pub day: NaiveDate,
    /// In which zone.
    pub zone: Tz,
    /// In which language to say it.
    pub language: Language,
    /// The worst of its triangles.
    pub verdict: DayVerdict,
    /// Its triangles, by name.
    pub triangles: Vec<Triangle>,
    /// What earlier reports said and what is true now.
    pub corrections: Vec<Correction>,
}

/// What a triangle's day was.
#[derive(Debug, Clone)]
pub struct Triangle {
    /// Its name.
    pub name: String,
    /// What people call the primary.
    pub primary: String,
    /// What people call the standby.
    pub standby: String,
    /// The Tx that were due, in order.
    pub tx: Vec<Tx>,
}

/// A Tx that was due.
#[derive(Debug, Clone)]
pub struct Tx {
    /// When.
    pub due_at: DateTime<Utc>,
    /// What became of it.
    pub result: TxResult,
    /// What it found, where it came to a proof.
    pub proof: Option<Proof>,
    /// The code of what went wrong and the corner to blame, where it failed.
    pub failure: Option<(String, Option<Corner>)>,
}

/// What a Tx found.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The figures of the three corners.
    pub corners: Corners,
    /// Differences, summed over the folders.
    pub differences: Vec<Difference>,
    /// Repairs since the Tx before, summed over the folders.
    pub repairs: Vec<(Class, Corner, u64)>,
    /// Messages that vanished on the primary since the Tx before, and are kept.
    pub new_tombstones: u64,
    /// The oldest proof by content of any corner; absent while a message has none.
    pub oldest_proof: Option<DateTime<Utc>>,
    /// How its certificate stands to those before.
    pub chain: Option<Chained>,
}

/// Differences of one class at one corner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which class.
    pub class: Class,
    /// Where.
    pub corner: Corner,
    /// Whether a reason explains them.
    pub explained: bool,
    /// How many messages.
    pub count: u64,
}

/// What an earlier report said of a Tx, and what is true now.
#[derive(Debug, Clone)]
pub struct Correction {
    /// The triangle's name.
    pub triangle: String,
    /// When the Tx was due.
    pub due_at: DateTime<Utc>,
    /// What was said, as [`TxResult::as_str`] has it.
    pub said: Option<String>,
    /// What is true.
    pub is: TxResult,
}

/// A report in words.
#[derive(Debug, Clone)]
pub struct Words {
    /// The mail's subject: the verdict in a sentence.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}
