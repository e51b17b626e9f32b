//! What the target has room for, as far as it says: nothing is begun that it would refuse.

use std::collections::BTreeMap;

use super::identity::LogicalFolder;

/// What the target takes. `Room::default()` is that of one which does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// Octets that are left of its quota.
    pub octets: Option<u64>,
    /// Messages that are left of its quota.
    pub messages: Option<u64>,
    /// The largest message that it takes, octets.
    pub largest: Option<u64>,
    /// The same for single folders.
    pub largest_in: BTreeMap<LogicalFolder, u64>,
}

impl Room {
    /// The largest message that a folder takes, octets.
    #[must_use]
    pub fn largest(&self, folder: &LogicalFolder) -> Option<u64> {
        self.largest_in.get(folder).copied().or(self.largest)
    }

    /// Whether a folder takes a message of so many octets, however much room there is.
    #[must_use]
    pub fn takes(&self, folder: &LogicalFolder, octets: u64) -> bool {
        self.largest(folder).is_none_or(|largest| octets <= largest)
    }

    /// Takes the room of a message, if there is as much. One that the folder does not take is not sent, and needs
    /// none.
    pub fn take(&mut self, folder: &LogicalFolder, octets: u64) -> bool {
        if !self.takes(folder, octets) {
            return true;
        }
        let fits = self.octets.is_none_or(|left| octets <= left)
            && self.messages.is_none_or(|left| left > 0);
        if fits {
            self.octets = self.octets.map(|left| left - octets);
            self.messages = self.messages.map(|left| left - 1);
        }
        fits
    }

    /// Whether its quota bounds it.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.octets.is_some() || self.messages.is_some()
    }
}

/// Mail that the target has no room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Homeless {
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub bytes: u64,
    /// Octets that it lacks for all of them.
    pub lacks_bytes: u64,
    /// Messages that it lacks, where it bounds their number.
    pub lacks_messages: u64,
}

impl Homeless {
    /// What is lacking where so much is left.
    #[must_use]
    pub fn of(messages: u64, bytes: u64, left: &Room) -> Self {
        Self {
            messages,
            bytes,
            lacks_bytes: left.octets.map_or(0, |left| bytes.saturating_sub(left)),
            lacks_messages: left
                .messages
                .map_or(0, |left| messages.saturating_sub(left)),
        }
    }
}
