//! The few lines of a message that tell a person which it is.

use async_imap::imap_proto::{AttributeValue, MessageSection, Response, SectionPath};

use super::error::ImapError;
use super::link::Link;
use super::wire::{self, Mailbox};

impl Link {
    /// Subject, sender and date lines of a set of UIDs in the open mailbox, at most `longest` octets of each message.
    /// What has vanished is not among them.
    ///
    /// # Errors
    /// The server refuses, or the connection ended.
    pub async fn heads(
        &mut self,
        set: &str,
        longest: usize,
    ) -> Result<Vec<(u32, Vec<u8>)>, ImapError> {
        self.endpoint.meter.turn(wire::in_set(set)).await;
        let mailbox: Option<Mailbox> = self.selected.as_ref().map(|(m, _)| m.clone());
        let line = format!(
            "UID FETCH {set} (UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM SENDER DATE)]<0.{longest}>)"
        );
        let tag = self.send("UID FETCH", &line).await?;
        let mut heads = Vec::new();
        let most = usize::try_from(wire::in_set(set)).unwrap_or(usize::MAX);
        let finished = self
            .finish("UID FETCH", mailbox.as_ref(), &tag, |response| {
                if let Response::Fetch(_, attributes) = response
                    && let Some((uid, octets)) = head(attributes)
                    && heads.len() < most
                {
                    heads.push((uid, octets.get(..longest).unwrap_or(octets).to_vec()));
                }
                Ok(())
            })
            .await?;
        self.demand_ok("UID FETCH", mailbox.as_ref(), finished)?;
        Ok(heads)
    }
}

/// UID and octets; none where the message has vanished, or the server tells of something else.
fn head<'a>(attributes: &'a [AttributeValue<'_>]) -> Option<(u32, &'a [u8])> {
    let (mut uid, mut octets) = (None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(value) => uid = Some(*value),
            AttributeValue::BodySection {
                section: Some(SectionPath::Full(MessageSection::Header)),
                data: Some(data),
                ..
            } => octets = Some(&**data),
            _ => {}
        }
    }
    Some((uid?, octets?))
}
