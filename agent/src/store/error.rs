//! What can go wrong with a store, each with the place and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::ContentId;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Reading or writing a file failed.
    #[error("{action} {path}: {source}{}", advice(source))]
    Io {
        /// What was being done, like `writing`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no room for what should be written.
    #[error("the store {dir} has no room left ({action}): make room there{NO_ROOM}")]
    NoRoom {
        /// The store's folder.
        dir: PathBuf,
        /// What was being done.
        action: String,
        /// What the system or SQLite said.
        #[source]
        source: Box<StoreError>,
    },
    /// Another process works with this store.
    #[error(
        "the store {dir} is in use by process {pid}; wait for it to end, or stop it, then try again"
    )]
    Locked {
        /// The store's folder.
        dir: PathBuf,
        /// The other process as its lock file names it.
        pid: String,
    },
    /// There is no store here.
    #[error("{dir} holds no store; run a mirror first, or correct data_dir")]
    NoStore {
        /// The folder.
        dir: PathBuf,
    },
    /// Others can read the key file.
    #[error(
        "the store key {path} can be read by others (mode {mode:o}); run `chmod 600 {path}`, and consider who may have read it"
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is not one.
    #[error(
        "{path} is not a store key: {detail}; put the right key file in place, never a new one: the store cannot be read without its key"
    )]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The key file is gone, but there is a store that wants it.
    #[error(
        "the store key {path} is missing, and the store {dir} cannot be read without it; put back a copy of the key, or move the store away to begin a new one"
    )]
    KeyLost {
        /// Where the key should be.
        path: PathBuf,
        /// The store.
        dir: PathBuf,
    },
    /// The key is another store's.
    #[error("the key does not belong to this store ({path}); put back the key it was written with")]
    WrongKey {
        /// The file that was written with another key.
        path: PathBuf,
    },
    /// A segment of another store lies among this store's.
    #[error("{path} belongs to another store; move it back to where it came from")]
    ForeignSegment {
        /// The segment.
        path: PathBuf,
    },
    /// A segment of a format that this version cannot read.
    #[error("{path} has format version {version}, which this program cannot read; update it")]
    UnknownVersion {
        /// The segment.
        path: PathBuf,
        /// The version it names.
        version: u16,
    },
    /// No segment has a readable header, and there is no index to tell which store it is.
    #[error(
        "none of the segments in {dir} has a readable header, and the index is gone; put the files back from a copy, or move them away to begin a new store"
    )]
    Unreadable {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The content was never stored here.
    #[error("content {id} is not in the store")]
    Missing {
        /// The content asked for.
        id: ContentId,
    },
    /// The content was stored, but cannot be read any more.
    #[error(
        "content {id} is damaged in {path} at {offset}: {detail}; the next mirror run stores it anew where the mail still exists"
    )]
    Damaged {
        /// The content asked for.
        id: ContentId,
        /// The segment.
        path: PathBuf,
        /// Where its frame begins.
        offset: u64,
        /// What is wrong.
        detail: &'static str,
    },
    /// A message beyond what a frame can hold.
    #[error("a message of {size} octets is larger than the {limit} that the store takes")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest.
        limit: usize,
    },
    /// A large message of which pieces were written is not there any more.
    #[error(
        "a write to the store failed, and the large message that was being stored was dropped with it; begin it again"
    )]
    LargeDropped,
    /// A record beyond what a membership frame can hold.
    #[error("a folder name, triangle name or flag list is too long for the store")]
    RecordTooLong,
    /// The store was opened for reading.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// An earlier failure left the segment in a state that only opening anew can settle.
    #[error("an earlier write to {path} failed and could not be undone; open the store again")]
    Halted {
        /// The segment.
        path: PathBuf,
    },
    /// The index did not do its work.
    #[error("{action} the index of the store: {source}{}", index_remedy(&source.to_string()))]
    Index {
        /// What was being done.
        action: &'static str,
        /// What SQLite said.
        #[source]
        source: diesel::result::Error,
    },
    /// The index could not be opened.
    #[error("opening the index {path}: {detail}{}", index_advice(detail))]
    IndexOpen {
        /// The index.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The index is an older version's, and was opened for reading only.
    #[error(
        "the index of the store {dir} is of an older version; the next mirror run brings it up to date"
    )]
    IndexOlder {
        /// The store's folder.
        dir: PathBuf,
    },
    /// A row of the index does not open or makes no sense.
    #[error(
        "the index of the store is damaged ({detail}); `maildreieck-agent store rebuild-index` makes it anew from the segments"
    )]
    IndexDamaged {
        /// What was found.
        detail: &'static str,
    },
    /// Compression or encryption failed, which no input should cause.
    #[error("{action} failed; this is a defect of the program or the machine's memory")]
    Codec {
        /// What was being done.
        action: &'static str,
    },
}

impl StoreError {
    /// Whether trying again can help without anybody doing anything.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Halted { .. } | Self::LargeDropped => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
            ),
            _ => false,
        }
    }

    /// The same, said of the store's folder where it is about room.
    pub(super) fn in_folder(self, dir: &Path) -> Self {
        let action = match &self {
            Self::Io {
                action,
                path,
                source,
            } if advice(source) == NO_ROOM => {
                format!("{action} {}", path.display())
            }
            Self::Index { action, source } if index_advice(&source.to_string()) == NO_ROOM => {
                format!("{action} the index")
            }
            Self::IndexOpen { detail, .. } if index_advice(detail) == NO_ROOM => {
                "opening the index".to_owned()
            }
            _ => return self,
        };
        Self::NoRoom {
            dir: dir.to_owned(),
            action,
            source: Box::new(self),
        }
    }

    /// Whether the failure is about the key and not about the store.
    #[must_use]
    pub fn concerns_key(&self) -> bool {
        matches!(
            self,
            Self::KeyExposed { .. }
                | Self::KeyMalformed { .. }
                | Self::KeyLost { .. }
                | Self::WrongKey { .. }
        )
    }

    /// Whether the index could not be opened for a reason that making it anew does not mend.
    pub(super) fn of_circumstances(&self) -> bool {
        matches!(self, Self::IndexOpen { detail, .. } if !index_advice(detail).is_empty())
    }

    /// Whether the index has to be made anew.
    #[must_use]
    pub fn index_damaged(&self) -> bool {
        match self {
            Self::IndexDamaged { .. } => true,
            Self::Index { source, .. } => {
                let text = source.to_string();
                text.contains("malformed") || text.contains("not a database")
            }
            _ => false,
        }
    }
}

/// What a technician can do about a failure of the system, and whether trying again helps.
pub(crate) fn advice(source: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match source.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => NO_ROOM,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            "; nothing was lost; let the agent's user write there, then try again"
        }
        Kind::Interrupted | Kind::TimedOut | Kind::WouldBlock => {
            "; nothing was lost; trying again may help"
        }
        _ if source.raw_os_error() == Some(nix::libc::EIO) => {
            "; the disk may be failing: trying again hardly helps, look at the system's log"
        }
        _ => "",
    }
}

const NO_ROOM: &str = "; nothing was lost: what was finished before stays, and the rest is still where it came from; trying again helps once there is room";

/// What can be done about what SQLite said; empty where it is about the file's content.
fn index_advice(text: &str) -> &'static str {
    if text.contains("disk is full") {
        NO_ROOM
    } else if text.contains("is locked") {
        "; nothing was lost; trying again may help"
    } else if text.contains("readonly") {
        "; nothing was lost; let the agent's user write there, then try again"
    } else if text.contains("disk I/O error") {
        "; the disk may be full or failing: look at the system's log; nothing that was committed is lost"
    } else {
        ""
    }
}

/// The same, and of one that is damaged how it is made anew.
fn index_remedy(text: &str) -> &'static str {
    if text.contains("malformed") {
        "; `maildreieck-agent store rebuild-index` makes it anew from the segments"
    } else {
        index_advice(text)
    }
}

/// Names an input/output failure.
pub(crate) fn io(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.into();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

/// Names a failure of the index.
pub(super) fn sql(action: &'static str) -> impl FnOnce(diesel::result::Error) -> StoreError {
    move |source| StoreError::Index { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_damaged_index() {
        let check = |detail: &str, expected: bool| {
            let error = StoreError::IndexOpen {
                path: "index.sqlite".into(),
                detail: detail.to_owned(),
            };
            assert_eq!(error.of_circumstances(), expected, "{error}");
            assert_eq!(error.to_string().contains("lost"), expected, "{error}");
        };
        check("database or disk is full", true);
        check("disk I/O error", true);
        check("database is locked", true);
        check("attempt to write a readonly database", true);
        check("file is not a database", false);
        check("database disk image is malformed", false);
    }
}
