//! Getting mail out of the store in forms that need nothing of ours to be read.

mod eml;
mod names;

pub use self::eml::{ExportError, Exported, MANIFEST, Selection, Unreadable, eml};
