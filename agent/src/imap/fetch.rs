//! Reading bodies, streamed: one message at a time is held, however many were asked for.

use std::collections::{BTreeMap, VecDeque};

use async_imap::imap_proto::{AttributeValue, Response};
use maildreieck_api_spec::vocabulary::Corner;

use super::error::{ImapError, Kind};
use super::link::{AnyResponse as _, Link, in_folder};
use super::listing::Opened;
use super::wire::{self, Mailbox, parse_date_time};
use crate::plan::identity::{Flags, InternalDate};

/// A message read whole.
pub struct Body {
    /// UID.
    pub uid: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords at the moment of reading.
    pub flags: Flags,
    /// The octets that FETCH delivered.
    pub octets: Vec<u8>,
}

/// What reading bodies brings.
pub enum BodyEvent {
    /// A message.
    Body(Body),
    /// A message that vanished meanwhile: its body came as NIL.
    Gone(u32),
    /// A message whose octets do not have the length that the server states: it cannot be copied truly.
    Unequal(u32),
    /// The end; messages that came neither way have vanished.
    End,
}

/// What one FETCH asks of a large message, octets.
const PART: u32 = 1 << 20;
/// Parts asked for ahead of their answers.
const PARTS_AHEAD: usize = 6;

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

impl Link {
    /// Reads a message of the open mailbox in parts, so that it is never held whole; each goes to `each`. Nothing
    /// else may be asked meanwhile.
    ///
    /// # Errors
    /// As [`Link::next_body`], and whatever `each` fails with: then the connection is done.
    pub async fn read_large<E: From<ImapError>>(
        &mut self,
        uid: u32,
        size: u32,
        mut each: impl AsyncFnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<LargeRead, E> {
        self.endpoint.meter.turn(1).await;
        let step = usize::try_from(PART).unwrap_or(usize::MAX);
        let mut offsets = (0..size).step_by(step);
        let mut asked = VecDeque::new();
        // A server may send later parts before it says that an earlier command is done.
        let mut arrived = BTreeMap::new();
        let (mut found, mut next, mut unequal) = (None, 0_u32, false);
        loop {
            while asked.len() < PARTS_AHEAD
                && let Some(offset) = offsets.next()
            {
                let line = format!(
                    "UID FETCH {uid} (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]<{offset}.{PART}>)"
                );
                asked.push_back(self.send("UID FETCH", &line).await?);
            }
            let Some(tag) = asked.pop_front() else { break };
            self.parts(&tag, uid, &mut arrived).await?;
            while let Some(part) = arrived.remove(&next) {
                unequal |= part.size != size;
                let length = u32::try_from(part.octets.len()).unwrap_or(u32::MAX);
                next = next.saturating_add(length.max(1));
                found = Some((part.date, part.flags));
                each(part.octets).await?;
            }
        }
        Ok(match found {
            None => LargeRead::Gone,
            Some((date, flags)) if !unequal && next == size => LargeRead::Whole { date, flags },
            Some(_) if unequal || next > size => LargeRead::Unequal,
            // The last part came, and was short: it is shorter than its server states.
            Some(_) if next % PART != 0 => LargeRead::Unequal,
            Some(_) => LargeRead::Gone,
        })
    }

    /// Reads to the end of the command `tag`; what comes of the message goes to `arrived` by its offset.
    async fn parts(
        &mut self,
        tag: &str,
        of: u32,
        arrived: &mut BTreeMap<u32, Part>,
    ) -> Result<(), ImapError> {
        let mailbox: Option<Mailbox> = self.selected.as_ref().map(|(m, _)| m.clone());
        let mut octets = 0;
        let finished = self
            .finish("UID FETCH", mailbox.as_ref(), tag, |response| {
                if let Response::Fetch(_, attributes) = response
                    && let Some((uid, offset, part)) = part(attributes)?
                    && uid == of
                {
                    octets += part.octets.len();
                    arrived.insert(offset, part);
                }
                Ok(())
            })
            .await?;
        self.demand_ok("UID FETCH", mailbox.as_ref(), finished)?;
        if self.endpoint.corner == Corner::Primary {
            self.endpoint.meter.count(octets);
        }
        Ok(())
    }

    /// Asks to open a mailbox for reading; what is asked next is about it already. Read the answer with
    /// [`Link::opened_for_reading`] when it is its turn.
    pub async fn ask_to_open(&mut self, mailbox: &Mailbox) -> Result<String, ImapError> {
        let (command, line) = self.opening(mailbox, false);
        self.send(command, &line).await
    }

    /// The answer to [`Link::ask_to_open`].
    pub async fn opened_for_reading(
        &mut self,
        mailbox: &Mailbox,
        tag: &str,
    ) -> Result<Opened, ImapError> {
        self.opened(mailbox, false, "EXAMINE", tag).await
    }

    /// Asks for the bodies of a set of UIDs in the open mailbox; read them with [`Link::next_body`].
    pub async fn ask_bodies(&mut self, set: &str) -> Result<String, ImapError> {
        self.endpoint.meter.turn(wire::in_set(set)).await;
        self.send(
            "UID FETCH",
            &format!("UID FETCH {set} (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"),
        )
        .await
    }

    /// The next of the bodies asked for under `tag`.
    pub async fn next_body(&mut self, tag: &str) -> Result<BodyEvent, ImapError> {
        let mailbox: Option<Mailbox> = self.selected.as_ref().map(|(m, _)| m.clone());
        loop {
            let response = self
                .read("UID FETCH")
                .await
                .map_err(|e| in_folder(e, mailbox.as_ref()))?;
            let parsed = response.parsed();
            if let Some(finished) = self.absorb("UID FETCH", tag, parsed)? {
                self.demand_ok("UID FETCH", mailbox.as_ref(), finished)?;
                return Ok(BodyEvent::End);
            }
            if let Response::Fetch(_, attributes) = parsed {
                match body(attributes) {
                    Ok(Some(event)) => {
                        if let (BodyEvent::Body(body), Corner::Primary) =
                            (&event, self.endpoint.corner)
                        {
                            self.endpoint.meter.count(body.octets.len());
                        }
                        return Ok(event);
                    }
                    Ok(None) => {}
                    Err(text) => {
                        return Err(in_folder(
                            self.error(Kind::Unexpected, "UID FETCH", text),
                            mailbox.as_ref(),
                        ));
                    }
                }
            }
        }
    }
}

struct Part {
    size: u32,
    date: InternalDate,
    flags: Flags,
    octets: Vec<u8>,
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

fn body(attributes: &[AttributeValue<'_>]) -> Result<Option<BodyEvent>, String> {
    let (mut uid, mut size, mut date, mut flags, mut data) = (None, None, None, None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(value) => uid = Some(*value),
            AttributeValue::Rfc822Size(value) => size = usize::try_from(*value).ok(),
            AttributeValue::InternalDate(text) => date = parse_date_time(text),
            AttributeValue::Flags(words) => {
                flags = Some(Flags::from_words(words.iter().map(|w| &**w)))
            }
            AttributeValue::BodySection {
                section: None,
                index: None,
                data: octets,
            } => data = Some(octets),
            _ => {}
        }
    }
    let (Some(uid), Some(data)) = (uid, data) else {
        // An update of flags that the server sent by itself has neither body nor size.
        return if data.is_none() && size.is_none() {
            Ok(None)
        } else {
            Err("a body without its UID".to_owned())
        };
    };
    let Some(octets) = data else {
        return Ok(Some(BodyEvent::Gone(uid)));
    };
    let (Some(size), Some(date), Some(flags)) = (size, date, flags) else {
        return Err(format!(
            "UID {uid} came without all of FLAGS, INTERNALDATE, RFC822.SIZE"
        ));
    };
    if octets.len() != size {
        return Ok(Some(BodyEvent::Unequal(uid)));
    }
    Ok(Some(BodyEvent::Body(Body {
        uid,
        date,
        flags,
        octets: octets.to_vec(),
    })))
}
