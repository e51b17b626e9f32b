//! Reading bodies, streamed: one message at a time is held, however many were asked for.

use std::sync::atomic::Ordering;

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

/// Why a message whose octets do not have the length that its server states is put aside.
pub(crate) const UNEQUAL: &str = "its server states another length than it delivers";

/// What reading bodies brings.
pub enum BodyEvent {
    /// A message.
    Body(Body),
    /// A message that vanished meanwhile: its body came as NIL.
    Gone(u32),
    /// A message that cannot be copied truly, and why.
    Unreadable(u32, String),
    /// The end; messages that came neither way have vanished.
    End,
}

impl BodyEvent {
    /// The message that it is about.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        match self {
            Self::Body(Body { uid, .. }) | Self::Gone(uid) | Self::Unreadable(uid, _) => Some(*uid),
            Self::End => None,
        }
    }
}

impl Link {
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
        self.is_mail.store(true, Ordering::Relaxed);
        loop {
            let response = self
                .read("UID FETCH")
                .await
                .map_err(|e| in_folder(e, mailbox.as_ref()))?;
            let parsed = response.parsed();
            if let Some(finished) = self.absorb("UID FETCH", tag, parsed)? {
                self.is_mail.store(false, Ordering::Relaxed);
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
        let reason = "it came without all of FLAGS, INTERNALDATE, RFC822.SIZE";
        return Ok(Some(BodyEvent::Unreadable(uid, reason.to_owned())));
    };
    if octets.len() != size {
        return Ok(Some(BodyEvent::Unreadable(uid, UNEQUAL.to_owned())));
    }
    Ok(Some(BodyEvent::Body(Body {
        uid,
        date,
        flags,
        octets: octets.to_vec(),
    })))
}
