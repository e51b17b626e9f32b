//! Reading a large message in parts, so that it is never held whole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use async_imap::imap_proto::{AttributeValue, Response};
use maildreieck_api_spec::vocabulary::Corner;

use super::error::ImapError;
use super::link::Link;
use super::wire::{Mailbox, parse_date_time};
use crate::plan::identity::{Flags, InternalDate};

/// What one FETCH asks of a large message, octets.
pub(crate) const PART: u32 = 1 << 20;
/// Parts asked for ahead of their answers.
const AHEAD: usize = 6;
/// Parts that are held out of turn at most.
const MOST: usize = 32;

/// What became of reading a large message in parts.
#[derive(Debug)]
pub enum LargeRead {
    /// All parts were handed out, and they are as long as the server states.
    Whole {
        /// INTERNALDATE.
        date: InternalDate,
        /// Flags and keywords.
        flags: Flags,
    },
    /// It vanished meanwhile.
    Gone,
    /// Its octets do not have the length that the server states.
    Unequal,
}

struct Part {
    size: u32,
    date: InternalDate,
    flags: Flags,
    octets: Vec<u8>,
}

/// Parts of messages of the open mailbox that have come, by UID and offset. A server may send later parts before it
/// says that an earlier command is done.
#[derive(Default)]
pub struct Parts(BTreeMap<(u32, u32), Part>);

/// A large message whose parts are put together.
pub struct Large {
    uid: u32,
    size: u32,
    next: u32,
    unequal: bool,
    found: Option<(InternalDate, Flags)>,
}

impl Large {
    /// A message of which nothing has come yet, of `size` octets as its server states.
    #[must_use]
    pub fn new(uid: u32, size: u32) -> Self {
        Self {
            uid,
            size,
            next: 0,
            unequal: false,
            found: None,
        }
    }

    /// The offsets at which its parts begin.
    pub fn offsets(size: u32) -> impl Iterator<Item = u32> {
        (0..size).step_by(usize::try_from(PART).unwrap_or(usize::MAX))
    }

    /// The octets that come next, if they are here.
    pub fn next(&mut self, parts: &mut Parts) -> Option<Vec<u8>> {
        let part = parts.0.remove(&(self.uid, self.next))?;
        self.unequal |= part.size != self.size;
        let length = u32::try_from(part.octets.len()).unwrap_or(u32::MAX);
        self.next = self.next.saturating_add(length.max(1));
        self.found = Some((part.date, part.flags));
        Some(part.octets)
    }

    /// What became of it, once all commands that asked for it are answered.
    #[must_use]
    pub fn end(self, parts: &mut Parts) -> LargeRead {
        parts.0.retain(|(uid, _), _| *uid != self.uid);
        match self.found {
            None => LargeRead::Gone,
            Some((date, flags)) if !self.unequal && self.next == self.size => {
                LargeRead::Whole { date, flags }
            }
            Some(_) if self.unequal || self.next > self.size => LargeRead::Unequal,
            // The last part came, and was short: it is shorter than its server states.
            Some(_) if !self.next.is_multiple_of(PART) => LargeRead::Unequal,
            Some(_) => LargeRead::Gone,
        }
    }
}

impl Link {
    /// Asks for a part of a message of the open mailbox; read it with [`Link::read_part`]. Nothing but parts may
    /// be on its way, unless a mailbox is opened in between: servers may answer what follows first.
    pub async fn ask_part(&mut self, uid: u32, offset: u32) -> Result<String, ImapError> {
        if offset == 0 {
            self.endpoint.meter.turn(1).await;
        }
        let line = format!(
            "UID FETCH {uid} (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]<{offset}.{PART}>)"
        );
        self.send("UID FETCH", &line).await
    }

    /// Reads to the end of the command `tag`; what comes goes to `parts`, as much as can have been asked for.
    pub async fn read_part(&mut self, tag: &str, parts: &mut Parts) -> Result<(), ImapError> {
        let mailbox: Option<Mailbox> = self.selected.as_ref().map(|(m, _)| m.clone());
        self.is_mail.store(true, Ordering::Relaxed);
        let mut octets = 0;
        let finished = self
            .finish("UID FETCH", mailbox.as_ref(), tag, |response| {
                if let Response::Fetch(_, attributes) = response
                    && let Some((uid, offset, part)) = part(attributes)?
                    && parts.0.len() < MOST
                {
                    octets += part.octets.len();
                    parts.0.insert((uid, offset), part);
                }
                Ok(())
            })
            .await?;
        self.is_mail.store(false, Ordering::Relaxed);
        self.demand_ok("UID FETCH", mailbox.as_ref(), finished)?;
        if self.endpoint.corner == Corner::Primary {
            self.endpoint.meter.count(octets);
        }
        Ok(())
    }

    /// Reads a large message of the open mailbox; its parts go to `each` in order. Nothing else may be asked
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Link::next_body`], and whatever `each` fails with: then the connection is done.
    pub async fn read_large<E: From<ImapError>>(
        &mut self,
        uid: u32,
        size: u32,
        mut each: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<LargeRead, E> {
        let mut large = Large::new(uid, size);
        let mut parts = Parts::default();
        let mut offsets = Large::offsets(size);
        let mut asked = VecDeque::new();
        loop {
            while asked.len() < AHEAD
                && let Some(offset) = offsets.next()
            {
                asked.push_back(self.ask_part(uid, offset).await?);
            }
            let Some(tag) = asked.pop_front() else { break };
            self.read_part(&tag, &mut parts).await?;
            while let Some(octets) = large.next(&mut parts) {
                each(octets)?;
            }
        }
        Ok(large.end(&mut parts))
    }
}

fn part(attributes: &[AttributeValue<'_>]) -> Result<Option<(u32, u32, Part)>, String> {
    let (mut uid, mut size, mut date, mut flags, mut data) = (None, None, None, None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(value) => uid = Some(*value),
            AttributeValue::Rfc822Size(value) => size = Some(*value),
            AttributeValue::InternalDate(text) => date = parse_date_time(text),
            AttributeValue::Flags(words) => {
                flags = Some(Flags::from_words(words.iter().map(|w| &**w)));
            }
            AttributeValue::BodySection {
                section: None,
                index: Some(offset),
                data: Some(octets),
            } => data = Some((*offset, octets.to_vec())),
            _ => {}
        }
    }
    match (uid, size, date, flags, data) {
        (_, None, None, _, None) => Ok(None),
        (Some(uid), Some(size), Some(date), Some(flags), Some((offset, octets))) => {
            let part = Part {
                size,
                date,
                flags,
                octets,
            };
            Ok(Some((uid, offset, part)))
        }
        // NIL: it has vanished.
        (_, _, _, _, None) => Ok(None),
        _ => Err("a part of a body without all that was asked for".to_owned()),
    }
}
