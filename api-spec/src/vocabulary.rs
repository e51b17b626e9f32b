//! The words that agent, server and people share. One word for one thing; the wire form is snake_case.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A corner of the mail triangle.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Corner {
    /// The account that the business works with.
    Primary,
    /// The second account at an independent hoster.
    Standby,
    /// The local mirror on site.
    Store,
}

impl Corner {
    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Store => "store",
        }
    }
}

impl std::fmt::Display for Corner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a Tx found: the first that applies, from the top.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A corner could not be read whole, or mail is still on its way.
    Unproven,
    /// Something differs that nothing explains.
    Unbalanced,
    /// All corners hold the same mail, but for explained differences.
    Balanced,
}

impl Verdict {
    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Unbalanced => "unbalanced",
            Self::Balanced => "balanced",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How deep a Tx looks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Counts and bytes per folder: the essay's test.
    Volume,
    /// Every UID, flag set, date and size listed afresh, held against the ledger.
    Ledger,
    /// The bytes of every message read back.
    Content,
}

impl Depth {
    /// The word on the wire and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Ledger => "ledger",
            Self::Content => "content",
        }
    }
}

/// The name of a difference between corners.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// On the primary, not on the standby.
    MissingAtStandby,
    /// On the primary, not in the store.
    MissingInStore,
    /// On the standby, put there by somebody else.
    ForeignAtStandby,
    /// The same message with other octets.
    Altered,
    /// More copies than the primary has.
    Duplicate,
    /// In another folder than on the primary.
    Misplaced,
    /// Other flags or keywords.
    FlagsDiffer,
    /// Another INTERNALDATE.
    DateDiffers,
    /// Put back once, gone again.
    DoesNotStay,
    /// UIDNEXT grew by mail that no listing showed.
    Unseen,
    /// Vanished on the primary: a tombstone.
    MissingAtPrimary,
    /// The old copy of a message that was moved on the primary.
    Moved,
    /// On the standby before the triangle was.
    Preexisting,
    /// Rewritten by the hoster, equal by the second digest.
    Equivalent,
    /// Twins that the hoster keeps as one.
    HostMerged,
    /// In a folder that the triangle leaves out.
    Excluded,
    /// After the cut.
    Late,
    /// Cannot be copied identically; kept with its reason.
    Quarantined,
    /// Waits for the next medium.
    NotYetOnMedium,
    /// Still to be copied.
    Pending,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Self; 20] = [
        Self::MissingAtStandby,
        Self::MissingInStore,
        Self::ForeignAtStandby,
        Self::Altered,
        Self::Duplicate,
        Self::Misplaced,
        Self::FlagsDiffer,
        Self::DateDiffers,
        Self::DoesNotStay,
        Self::Unseen,
        Self::MissingAtPrimary,
        Self::Moved,
        Self::Preexisting,
        Self::Equivalent,
        Self::HostMerged,
        Self::Excluded,
        Self::Late,
        Self::Quarantined,
        Self::NotYetOnMedium,
        Self::Pending,
    ];

    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingAtStandby => "missing_at_standby",
            Self::MissingInStore => "missing_in_store",
            Self::ForeignAtStandby => "foreign_at_standby",
            Self::Altered => "altered",
            Self::Duplicate => "duplicate",
            Self::Misplaced => "misplaced",
            Self::FlagsDiffer => "flags_differ",
            Self::DateDiffers => "date_differs",
            Self::DoesNotStay => "does_not_stay",
            Self::Unseen => "unseen",
            Self::MissingAtPrimary => "missing_at_primary",
            Self::Moved => "moved",
            Self::Preexisting => "preexisting",
            Self::Equivalent => "equivalent",
            Self::HostMerged => "host_merged",
            Self::Excluded => "excluded",
            Self::Late => "late",
            Self::Quarantined => "quarantined",
            Self::NotYetOnMedium => "not_yet_on_medium",
            Self::Pending => "pending",
        }
    }

    /// The reasons that can explain a difference of this class; empty where nothing can.
    ///
    /// A class that explains itself by its name takes [`Reason::ByClass`]. `pending` is never explained:
    /// it makes the verdict `unproven`.
    #[must_use]
    pub fn reasons(self) -> &'static [Reason] {
        match self {
            Self::MissingAtStandby
            | Self::MissingInStore
            | Self::ForeignAtStandby
            | Self::Altered
            | Self::Duplicate
            | Self::Misplaced
            | Self::DoesNotStay
            | Self::Pending => &[],
            Self::FlagsDiffer => &[Reason::UnsupportedKeyword],
            Self::DateDiffers => &[Reason::ClampedDate],
            Self::Unseen => &[Reason::PopDelete],
            Self::Quarantined | Self::NotYetOnMedium => &[Reason::WithinGrace],
            Self::MissingAtPrimary
            | Self::Moved
            | Self::Preexisting
            | Self::Equivalent
            | Self::HostMerged
            | Self::Excluded
            | Self::Late => &[Reason::ByClass],
        }
    }

    /// The corners that can differ from the primary in this way: each difference is said of the corner that
    /// differs, never of the primary itself.
    #[must_use]
    pub fn corners(self) -> &'static [Corner] {
        match self {
            // The store's mail is all the mirror's own: nobody else put any there, before or since, and what
            // was moved is moved in it too.
            Self::MissingAtStandby | Self::ForeignAtStandby | Self::Moved | Self::Preexisting => {
                &[Corner::Standby]
            }
            // What only a hoster does.
            Self::Equivalent | Self::HostMerged => &[Corner::Standby],
            // The medium is written from the store.
            Self::MissingInStore | Self::NotYetOnMedium => &[Corner::Store],
            Self::Altered
            | Self::Duplicate
            | Self::Misplaced
            | Self::FlagsDiffer
            | Self::DateDiffers
            | Self::DoesNotStay
            | Self::Unseen
            | Self::MissingAtPrimary
            | Self::Excluded
            | Self::Late
            | Self::Quarantined
            | Self::Pending => &[Corner::Standby, Corner::Store],
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a difference counts as explained.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The class says it.
    ByClass,
    /// The target refuses the keyword; store and ledger keep it.
    UnsupportedKeyword,
    /// The target cannot express the date.
    ClampedDate,
    /// The account's clients fetch by POP and delete.
    PopDelete,
    /// Within the days that a quarantine or a medium has.
    WithinGrace,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// TLS from the first octet (RFC 8314), port 993.
    Implicit,
    /// STARTTLS before login (RFC 9051, 6.2.1), port 143.
    Starttls,
    /// None: loopback only. A file of a site without a server may allow plain text elsewhere.
    None,
}

/// A direction of flow: from the source corner to the target corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The ordinary one.
    PrimaryToStandby,
    /// After a failover, until the return.
    StandbyToPrimary,
}

/// What a person may be in one tenant. A provider's administrator is one without a membership.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Of the provider: sets up and looks after the tenant's triangles.
    Technician,
    /// Reads, changes nothing.
    Auditor,
    /// Of the business itself.
    Owner,
}

/// The language of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// German.
    De,
    /// English.
    En,
}

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

/// How an agent is, by the server's clock; the first that applies, from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Another agent took its site; it gets no token any more.
    Replaced,
    /// An assertion came whose counter had not grown: somebody else has its key.
    CloneSuspected,
    /// No sign of life for ten minutes or more, or none ever.
    Offline,
    /// No sign of life for two minutes or more.
    Late,
    /// Its clock is a minute or more away from the server's.
    Skewed,
    /// Signs of life, but no cycle came to its end for a day or more.
    Stuck,
    /// None of these.
    Online,
}
