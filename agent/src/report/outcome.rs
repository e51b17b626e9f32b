//! What runs come to, before it is put into a form.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::Certificate;
use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::{Corner, Verdict};
use serde::Serialize;

use crate::ledger::{Halt, RepairRow, StoredRow};
use crate::plan::mirror::Plan;
use crate::plan::reconcile::Difference;
use crate::snapshot::Cut;

/// What a mirror run did.
#[derive(Debug, Clone, Default)]
pub struct Mirrored {
    /// Sent to the target.
    pub volume: Volume,
    /// What the guard holds back.
    pub halt: Option<Halt>,
    /// What waits for an account's budget.
    pub pending: Option<Pending>,
    /// Folders that were left as they are.
    pub refused: Vec<RefusedFolder>,
    /// Of what waits, what the store had and has lost.
    pub unfilled: Vec<StoredRow>,
    /// The plan, where it was only to be shown.
    pub dry_run: Option<Plan>,
    /// Where both accounts stood when it last looked at the primary: a Tx that follows is cut there.
    pub cut: Cut,
}

/// Mail that waits until an account may move more of it, or has room for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub bytes: u64,
    /// When a budget has room again for the first of it.
    pub goes_on_at: Option<DateTime<Utc>>,
    /// What of it an account has no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Full>,
}

/// An account that is full, or would be: nothing of this was sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Full {
    /// Of which corner.
    pub corner: Corner,
    /// Messages that it has no room for.
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
    /// Octets that it lacks for them.
    pub lacks_bytes: u64,
    /// Messages that it lacks, where it bounds their number.
    pub lacks_messages: u64,
}

/// A folder that a server lists and refuses: nothing in it is mirrored, compared or taken for gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedFolder {
    /// Which folder.
    pub folder: String,
    /// Of which account.
    pub corner: Corner,
    /// In the server's words.
    pub detail: String,
}

/// A message that a server lists and does not give when it is read back: its corner is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadMessage {
    /// In which account.
    pub corner: Corner,
    /// In which folder.
    pub folder: String,
    /// Its UID there.
    pub uid: u32,
    /// Why, in words.
    pub detail: String,
}

/// What a Tx proved.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The verdict.
    pub verdict: Verdict,
    /// When it was cut.
    pub tx_at: DateTime<Utc>,
    /// All differences.
    pub differences: Vec<Difference>,
    /// Folders that could not be compared.
    pub refused: Vec<RefusedFolder>,
    /// Messages that could not be read back.
    pub unread: Vec<UnreadMessage>,
    /// Repairs since the last Tx.
    pub repairs: Vec<RepairRow>,
    /// Whether the primary's budget of bytes a day ended reading back.
    pub budget_ended: bool,
    /// What may leave the site.
    pub certificate: Certificate,
}
