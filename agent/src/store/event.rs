//! What a store remembers of a message besides its octets, and the form of it inside a membership frame.

use super::error::StoreError;
use super::frame::Cursor;
use super::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};

const BATCH_VERSION: u8 = 1;
/// The most that the names and flags of one event may take.
const LARGEST_TEXT: usize = 1 << 20;
const ADD: u8 = 1;
const FLAGS: u8 = 2;
const MOVE: u8 = 3;
const TOMBSTONE: u8 = 4;
const REVIVE: u8 = 5;

/// A change of one member. Applying one twice is applying it once; of two, the later in the segments wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message lies in a folder: the whole state of the member, also where there was one.
    Add {
        /// The copy.
        member: MemberId,
        /// The triangle it belongs to.
        triangle: Box<str>,
        /// Where it lies.
        folder: LogicalFolder,
        /// Its octets, put before or in the same commit.
        content: ContentId,
        /// When it came.
        date: InternalDate,
        /// How it is marked.
        flags: Flags,
        /// Its octets' number.
        size: u32,
    },
    /// It is marked otherwise.
    Flags {
        /// The copy.
        member: MemberId,
        /// All its flags from now on.
        flags: Flags,
    },
    /// It lies elsewhere.
    Move {
        /// The copy.
        member: MemberId,
        /// Where it lies from now on.
        folder: LogicalFolder,
    },
    /// It vanished on the source.
    Tombstone {
        /// The copy.
        member: MemberId,
        /// When that was seen, seconds since 1970.
        at: i64,
    },
    /// It is back on the source.
    Revive {
        /// The copy.
        member: MemberId,
        /// Where it lies from now on.
        folder: LogicalFolder,
        /// All its flags from now on.
        flags: Flags,
    },
}

impl Event {
    /// The member that changes.
    #[must_use]
    pub fn member(&self) -> MemberId {
        match self {
            Self::Add { member, .. }
            | Self::Flags { member, .. }
            | Self::Move { member, .. }
            | Self::Tombstone { member, .. }
            | Self::Revive { member, .. } => *member,
        }
    }
}

/// One copy of a message as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The copy.
    pub member: MemberId,
    /// Where it lies.
    pub folder: LogicalFolder,
    /// Its octets.
    pub content: ContentId,
    /// When it came.
    pub date: InternalDate,
    /// How it is marked.
    pub flags: Flags,
    /// Its octets' number.
    pub size: u32,
    /// When it was seen to have vanished on the source, seconds since 1970.
    pub tombstone: Option<i64>,
}

/// A member and the name of its triangle, as an index row seals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberState {
    pub(super) triangle: Box<str>,
    pub(super) member: Member,
}

impl MemberState {
    /// The state after an event; `None` where the event speaks of a member that is not known.
    pub(super) fn after(before: Option<Self>, event: Event) -> Option<Self> {
        if let Event::Add {
            member,
            triangle,
            folder,
            content,
            date,
            flags,
            size,
        } = event
        {
            return Some(Self {
                triangle,
                member: Member {
                    member,
                    folder,
                    content,
                    date,
                    flags,
                    size,
                    tombstone: None,
                },
            });
        }
        let mut state = before?;
        match event {
            Event::Add { .. } => {}
            Event::Flags { flags, .. } => state.member.flags = flags,
            Event::Move { folder, .. } => state.member.folder = folder,
            Event::Tombstone { at, .. } => state.member.tombstone = Some(at),
            Event::Revive { folder, flags, .. } => {
                state.member.folder = folder;
                state.member.flags = flags;
                state.member.tombstone = None;
            }
        }
        Some(state)
    }

    /// The events that lead to this state from nothing.
    pub(super) fn events(self) -> impl Iterator<Item = Event> {
        let Member {
            member,
            folder,
            content,
            date,
            flags,
            size,
            tombstone,
        } = self.member;
        let add = Event::Add {
            member,
            triangle: self.triangle,
            folder,
            content,
            date,
            flags,
            size,
        };
        std::iter::once(add).chain(tombstone.map(|at| Event::Tombstone { member, at }))
    }

    /// The form inside an index row: an `Add` and the tombstone.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(128);
        encode_add(
            &mut out,
            self.member.member,
            &self.triangle,
            &self.member.folder,
            self.member.content,
            self.member.date,
            &self.member.flags,
            self.member.size,
        )?;
        if let Some(at) = self.member.tombstone {
            out.push(1);
            out.extend_from_slice(&at.to_le_bytes());
        }
        Ok(out)
    }

    /// From an index row. `folder` makes the folder of its form, so that a reader of many can share them.
    pub(super) fn decode(
        octets: &[u8],
        mut folder: impl FnMut(&str) -> LogicalFolder,
    ) -> Option<Self> {
        let mut cursor = Cursor(octets);
        let event = decode_event(&mut cursor, &mut folder)?;
        let mut state = Self::after(None, event)?;
        if let Some([_]) = cursor.take() {
            state.member.tombstone = Some(i64::from_le_bytes(cursor.take()?));
        }
        cursor.0.is_empty().then_some(state)
    }
}

/// Puts an event behind those already in a batch, or begins one.
pub(super) fn encode_into_batch(batch: &mut Vec<u8>, event: &Event) -> Result<(), StoreError> {
    if batch.is_empty() {
        batch.push(BATCH_VERSION);
    }
    encode_event(batch, event)
}

/// Whether an event's texts fit into a membership frame.
pub(super) fn fits(event: &Event) -> bool {
    let of = |flags: &Flags| flags.to_string().len();
    let length = match event {
        Event::Add {
            triangle,
            folder,
            flags,
            ..
        } => triangle.len() + folder.as_str().len() + of(flags),
        Event::Flags { flags, .. } => of(flags),
        Event::Move { folder, .. } => folder.as_str().len(),
        Event::Tombstone { .. } => 0,
        Event::Revive { folder, flags, .. } => folder.as_str().len() + of(flags),
    };
    length <= LARGEST_TEXT
}

/// The events of a membership batch.
pub(super) fn decode_batch(octets: &[u8]) -> Result<Vec<Event>, &'static str> {
    let mut cursor = Cursor(octets);
    if cursor.take() != Some([BATCH_VERSION]) {
        return Err("the membership batch has another version");
    }
    let mut folder = |form: &str| LogicalFolder::from_stored(form);
    let mut events = Vec::new();
    while !cursor.0.is_empty() {
        events.push(
            decode_event(&mut cursor, &mut folder).ok_or("the membership batch is malformed")?,
        );
    }
    Ok(events)
}

fn encode_text(out: &mut Vec<u8>, text: &str) -> Result<(), StoreError> {
    let length = u32::try_from(text.len()).map_err(|_| StoreError::RecordTooLong)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "they are the fields of one record"
)]
fn encode_add(
    out: &mut Vec<u8>,
    member: MemberId,
    triangle: &str,
    folder: &LogicalFolder,
    content: ContentId,
    date: InternalDate,
    flags: &Flags,
    size: u32,
) -> Result<(), StoreError> {
    out.push(ADD);
    out.extend_from_slice(&member.0);
    out.extend_from_slice(&content.0);
    out.extend_from_slice(&date.0.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
    encode_text(out, triangle)?;
    encode_text(out, folder.as_str())?;
    encode_text(out, &flags.to_string())
}

fn encode_event(out: &mut Vec<u8>, event: &Event) -> Result<(), StoreError> {
    match event {
        Event::Add {
            member,
            triangle,
            folder,
            content,
            date,
            flags,
            size,
        } => encode_add(
            out, *member, triangle, folder, *content, *date, flags, *size,
        )?,
        Event::Flags { member, flags } => {
            out.push(FLAGS);
            out.extend_from_slice(&member.0);
            encode_text(out, &flags.to_string())?;
        }
        Event::Move { member, folder } => {
            out.push(MOVE);
            out.extend_from_slice(&member.0);
            encode_text(out, folder.as_str())?;
        }
        Event::Tombstone { member, at } => {
            out.push(TOMBSTONE);
            out.extend_from_slice(&member.0);
            out.extend_from_slice(&at.to_le_bytes());
        }
        Event::Revive {
            member,
            folder,
            flags,
        } => {
            out.push(REVIVE);
            out.extend_from_slice(&member.0);
            encode_text(out, folder.as_str())?;
            encode_text(out, &flags.to_string())?;
        }
    }
    Ok(())
}

fn decode_text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let length = usize::try_from(u32::from_le_bytes(cursor.take()?)).ok()?;
    std::str::from_utf8(cursor.octets(length)?).ok()
}

fn decode_flags(cursor: &mut Cursor<'_>) -> Option<Flags> {
    Some(Flags::from_words(
        decode_text(cursor)?.split_ascii_whitespace(),
    ))
}

fn decode_event(
    cursor: &mut Cursor<'_>,
    folder: &mut impl FnMut(&str) -> LogicalFolder,
) -> Option<Event> {
    let [tag] = cursor.take()?;
    let member = MemberId(cursor.take()?);
    Some(match tag {
        ADD => {
            let content = ContentId(cursor.take()?);
            let date = InternalDate(i64::from_le_bytes(cursor.take()?));
            let size = u32::from_le_bytes(cursor.take()?);
            Event::Add {
                member,
                triangle: decode_text(cursor)?.into(),
                folder: folder(decode_text(cursor)?),
                content,
                date,
                flags: decode_flags(cursor)?,
                size,
            }
        }
        FLAGS => Event::Flags {
            member,
            flags: decode_flags(cursor)?,
        },
        MOVE => Event::Move {
            member,
            folder: folder(decode_text(cursor)?),
        },
        TOMBSTONE => Event::Tombstone {
            member,
            at: i64::from_le_bytes(cursor.take()?),
        },
        REVIVE => Event::Revive {
            member,
            folder: folder(decode_text(cursor)?),
            flags: decode_flags(cursor)?,
        },
        _ => return None,
    })
}
