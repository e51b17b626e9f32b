//! Adding messages to a mailbox: MULTIAPPEND (RFC 3502) with LITERAL+ (RFC 7888), pipelined APPEND, or one
//! by one, by what the server can. An APPEND stays open and is fed until it is ended, and the next is sent
//! before it is answered.
//!
//! The first message, and the first with a keyword, go out with a synchronising literal, so that a server that
//! dislikes them says so before there are octets that it could take for commands. The folder is no part of that:
//! one that is missing or refuses draws NO, after which servers skip the octets. After BAD, or an answer in the
//! middle of a message, the connection must not be used again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::error::{ImapError, Kind, kind_of_no, passes};
use super::link::{Code, End, Link, UidRanges, in_folder};
use super::wire::{Literal, Mailbox, append_head};
use crate::kill;
use crate::plan::identity::{Flags, InternalDate};

/// What is written together.
const WRITE_BYTES: usize = 64 * 1024;

/// A message to add.
#[derive(Debug, Clone, Copy)]
pub struct AppendItem<'a> {
    /// Flags and keywords.
    pub flags: &'a Flags,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// The octets.
    pub octets: &'a [u8],
}

/// What stands before a message's octets.
#[derive(Debug, Clone, Copy)]
pub struct AppendHead<'a> {
    /// Flags and keywords.
    pub flags: &'a Flags,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// How many octets follow.
    pub length: usize,
}

/// Where a message came to lie (RFC 4315); `None` where the server does not say.
pub type Appended = Option<(u32, u32)>;

/// Why the server took nothing of a command: it was answered NO, and the mailbox is as it was.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Which way: [`Kind::No`], or a fault of the account and not of the messages.
    pub kind: Kind,
    /// Whether the same may be accepted later.
    pub temporary: bool,
    /// The server's words.
    pub text: String,
}

/// An APPEND under way: by its tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppendTag(String);

/// What a server has let begin already, shared by the connections to one account: keywords, and an empty one for
/// messages as such.
pub type Shapes = Rc<RefCell<BTreeSet<String>>>;

/// An APPEND that is being written.
#[derive(Debug)]
pub(super) struct Appending {
    tag: String,
    mailbox: Mailbox,
    /// What is not written yet.
    pending: Vec<u8>,
    /// Octets of the message announced last that are still to come.
    lacking: usize,
}

impl Link {
    /// Whether one APPEND may hold several messages.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.capabilities.has("MULTIAPPEND")
    }

    /// Adds a message: to the APPEND that is open, where the server takes several and it is for the same
    /// mailbox; else by a new one. What it was answered, [`Link::appended`] says later.
    ///
    /// # Errors
    /// BAD, an answer in the middle of a message, a cut or a silent connection: it is in doubt what was added.
    pub async fn add(
        &mut self,
        mailbox: &Mailbox,
        item: AppendItem<'_>,
        shapes: &Shapes,
    ) -> Result<AppendTag, ImapError> {
        let head = AppendHead {
            flags: item.flags,
            date: item.date,
            length: item.octets.len(),
        };
        let (tag, goes_on) = self.announce(mailbox, head, shapes).await?;
        if goes_on {
            self.octets(item.octets).await?;
        }
        Ok(tag)
    }

    /// The same up to a message's octets, which are to follow with [`Link::octets`] unless this says that the
    /// command was refused before them.
    ///
    /// # Errors
    /// As [`Link::add`].
    pub async fn announce(
        &mut self,
        mailbox: &Mailbox,
        head: AppendHead<'_>,
        shapes: &Shapes,
    ) -> Result<(AppendTag, bool), ImapError> {
        self.endpoint.meter.turn(1).await;
        let goes_on = |open: &Appending| open.mailbox == *mailbox && self.takes_batches();
        if !self.appending.as_ref().is_some_and(goes_on) {
            self.end_append().await?;
        }
        let announced = self.announce_in_open(mailbox, head, shapes).await;
        announced.map_err(|e| in_folder(e, Some(mailbox)))
    }

    async fn announce_in_open(
        &mut self,
        mailbox: &Mailbox,
        head: AppendHead<'_>,
        shapes: &Shapes,
    ) -> Result<(AppendTag, bool), ImapError> {
        let mut open = match self.appending.take() {
            Some(open) => open,
            None => {
                let tag = self.tag();
                self.outstanding.insert(tag.clone());
                Appending {
                    pending: format!("{tag} APPEND {}", mailbox.quoted()).into_bytes(),
                    mailbox: mailbox.clone(),
                    tag,
                    lacking: 0,
                }
            }
        };
        self.nothing_lacks(&open)?;
        let shape = shape(head.flags);
        let literal = self.literal(head.length, shape.is_subset(&shapes.borrow()));
        let line = append_head(head.flags, head.date, head.length, literal);
        let line = line.ok_or_else(|| {
            let text = "a date that the protocol cannot express";
            self.error(Kind::Unexpected, "APPEND", text)
        })?;
        open.pending.extend_from_slice(line.as_bytes());
        let tag = AppendTag(open.tag.clone());
        if literal == Literal::Synchronising {
            self.write_out(&mut open).await?;
            self.flush("APPEND").await?;
            self.until_plus("APPEND", &open.tag).await?;
            if self.answers.contains_key(&open.tag) {
                // Refused before there were octets: the command is over, and the connection as good as new.
                return Ok((tag, false));
            }
            shapes.borrow_mut().extend(shape);
        }
        open.lacking = head.length;
        self.appending = Some(open);
        Ok((tag, true))
    }

    /// Octets of the message that was announced last: all of them, or a part.
    ///
    /// # Errors
    /// As [`Link::add`].
    pub async fn octets(&mut self, octets: &[u8]) -> Result<(), ImapError> {
        let Some(mut open) = self.appending.take() else {
            return Err(self.error(Kind::Unexpected, "APPEND", "octets of no message"));
        };
        let mailbox = open.mailbox.clone();
        let written = async {
            open.lacking = open.lacking.checked_sub(octets.len()).ok_or_else(|| {
                let text = "a message is longer than it was announced";
                self.error(Kind::Unexpected, "APPEND", text)
            })?;
            if octets.len() > WRITE_BYTES {
                self.write_out(&mut open).await?;
                self.write_listening("APPEND", &open.tag, octets).await?;
            } else {
                open.pending.extend_from_slice(octets);
                if open.pending.len() > WRITE_BYTES {
                    self.write_out(&mut open).await?;
                }
            }
            self.not_yet_answered(&open.tag)
        };
        written.await.map_err(|e| in_folder(e, Some(&mailbox)))?;
        self.appending = Some(open);
        Ok(())
    }

    /// A message that is shorter than it was announced would have the next command taken for its octets.
    fn nothing_lacks(&self, open: &Appending) -> Result<(), ImapError> {
        if open.lacking == 0 {
            return Ok(());
        }
        let text = "a message is shorter than it was announced";
        Err(self.error(Kind::Unexpected, "APPEND", text))
    }

    async fn write_out(&mut self, open: &mut Appending) -> Result<(), ImapError> {
        let pending = std::mem::take(&mut open.pending);
        self.write_listening("APPEND", &open.tag, &pending).await?;
        kill::point("append begun");
        self.not_yet_answered(&open.tag)
    }

    /// A server that answers in the middle of a message may take what follows for commands.
    fn not_yet_answered(&self, tag: &str) -> Result<(), ImapError> {
        let Some(finished) = self.answers.get(tag) else {
            return Ok(());
        };
        let kind = kind_of_no(&finished.text);
        if finished.end == End::No && kind != Kind::No {
            return Err(self.error(kind, "APPEND", &finished.text));
        }
        let text = format!("answered before it was sent: {}", finished.text);
        Err(self.error(Kind::Bad, "APPEND", text))
    }

    /// Whether there is an APPEND that may be fed with more.
    #[must_use]
    pub fn append_is_open(&self) -> bool {
        self.appending.is_some()
    }

    /// Ends the APPEND that is open, if there is one.
    ///
    /// # Errors
    /// As [`Link::add`].
    pub async fn end_append(&mut self) -> Result<(), ImapError> {
        if let Some(mut open) = self.appending.take() {
            self.nothing_lacks(&open)?;
            open.pending.extend_from_slice(b"\r\n");
            let pending = std::mem::take(&mut open.pending);
            let mailbox = Some(&open.mailbox);
            let ended = async {
                self.write_listening("APPEND", &open.tag, &pending).await?;
                self.flush("APPEND").await
            };
            ended.await.map_err(|e| in_folder(e, mailbox))?;
            kill::point("append ended");
        }
        Ok(())
    }

    /// Waits until an APPEND that was ended is answered. May be cancelled.
    ///
    /// # Errors
    /// As [`Link::add`].
    pub async fn answered(&mut self, tag: &AppendTag) -> Result<(), ImapError> {
        self.answer("APPEND", &tag.0).await
    }

    /// What an APPEND of `count` messages was answered: where they lie, in their order, or why it was refused.
    ///
    /// # Errors
    /// As [`Link::add`].
    pub async fn appended(
        &mut self,
        tag: &AppendTag,
        count: usize,
    ) -> Result<Result<Vec<Appended>, Refusal>, ImapError> {
        self.answered(tag).await?;
        let Some(finished) = self.answers.remove(&tag.0) else {
            return Err(self.error(Kind::Unexpected, "APPEND", "no answer"));
        };
        if finished.end == End::Ok {
            let uids = appended(finished.code.as_ref(), count);
            return Ok(Ok(
                uids.map_err(|text| self.error(Kind::Unexpected, "APPEND", text))?
            ));
        }
        Ok(Err(Refusal {
            kind: kind_of_no(&finished.text),
            temporary: passes(&finished.text),
            text: super::error::shortened(&finished.text),
        }))
    }

    fn literal(&self, length: usize, known_shape: bool) -> Literal {
        let without_waiting = self.capabilities.has("LITERAL+")
            || (self.capabilities.has("LITERAL-") && length <= 4096);
        if known_shape && without_waiting {
            Literal::NonSynchronising
        } else {
            Literal::Synchronising
        }
    }
}

fn shape(flags: &Flags) -> BTreeSet<String> {
    let keywords = flags.keywords().iter().map(|k| k.as_str().to_owned());
    keywords.chain([String::new()]).collect()
}

/// The UIDs of APPENDUID, which must be exactly as many as there were messages. They ascend (RFC 4315, 3): in
/// another order nobody knows which is whose, as if they had not been told.
fn appended(code: Option<&Code>, count: usize) -> Result<Vec<Appended>, String> {
    let Some(Code::AppendUid(uidvalidity, ranges)) = code else {
        return Ok(vec![None; count]);
    };
    let uids = expand(ranges, count)
        .ok_or("APPENDUID with another number of UIDs than there were messages")?;
    let ascend = uids.is_sorted();
    let told = |uid| ascend.then_some((*uidvalidity, uid));
    Ok(uids.into_iter().map(told).collect())
}

/// The UIDs of a set, if they are exactly `count`: bounded before it is expanded.
pub(super) fn expand(ranges: &UidRanges, count: usize) -> Option<Vec<u32>> {
    let mut uids = Vec::with_capacity(count);
    for range in ranges {
        let length = usize::try_from(range.end() - range.start())
            .ok()?
            .checked_add(1)?;
        if uids.len().checked_add(length)? > count {
            return None;
        }
        uids.extend(range.clone());
    }
    (uids.len() == count).then_some(uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appenduid_has_the_exact_count() {
        let check = |ranges: UidRanges, count, expected: Option<&[u32]>| {
            assert_eq!(expand(&ranges, count).as_deref(), expected);
        };
        check(vec![7..=7], 1, Some(&[7]));
        check(vec![3..=5], 3, Some(&[3, 4, 5]));
        check(vec![1..=u32::MAX], 3, None);
        check(vec![0..=u32::MAX], 3, None);
        check(vec![7..=7], 2, None);
        check(vec![], 0, Some(&[]));
    }
    #[test]
    fn uids_that_do_not_ascend_are_not_believed() {
        let check = |ranges: UidRanges, count, expected: &[Appended]| {
            let code = Code::AppendUid(9, ranges);
            assert_eq!(appended(Some(&code), count).unwrap(), expected);
        };
        check(vec![3..=4], 2, &[Some((9, 3)), Some((9, 4))]);
        check(vec![4..=4, 3..=3], 2, &[None, None]);
        // A server that merges equal messages tells the one that it keeps for both.
        check(vec![3..=3, 3..=3], 2, &[Some((9, 3)), Some((9, 3))]);
    }
}
