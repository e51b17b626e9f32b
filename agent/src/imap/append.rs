//! Adding messages to a mailbox: MULTIAPPEND (RFC 3502) with LITERAL+ (RFC 7888), pipelined APPEND, or one
//! by one, by what the server can.
//!
//! The first message of a shape (folder and keywords) goes out with a synchronising literal, so that a
//! server that dislikes the shape says so before there are octets that it could take for commands. After
//! BAD the connection must not be used again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::error::{ImapError, Kind};
use super::link::{Code, End, Finished, Link, UidRanges, in_folder, over_quota};
use super::wire::{Literal, Mailbox, append_head};
use crate::plan::identity::{Flags, InternalDate};

/// A message to add.
#[derive(Debug, Clone)]
pub struct AppendItem {
    /// Flags and keywords.
    pub flags: Flags,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// The octets.
    pub octets: Arc<[u8]>,
}

/// Where a message came to lie (RFC 4315); `None` where the server does not say.
pub type Appended = Option<(u32, u32)>;

/// Why the server took nothing of a command: it was answered NO, and the mailbox is as it was.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The target account is full: a fault of the account, not of the messages.
    pub over_quota: bool,
    /// The server's words.
    pub text: String,
}

/// What became of a batch: per command, the items it held and its end.
#[derive(Debug)]
pub struct AppendOutcome {
    /// For each item, where it lies, or the refusal of the command that held it.
    pub items: Vec<Result<Appended, Refusal>>,
}

/// The shapes that a server has taken already, shared by the connections to one account.
pub type Shapes = Rc<RefCell<BTreeSet<(Mailbox, String)>>>;

impl Link {
    /// How many messages one APPEND command may hold here.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.capabilities.has("MULTIAPPEND")
    }

    /// Adds the items to the mailbox, in order.
    ///
    /// # Errors
    /// BAD, a cut or a silent connection: then it is in doubt what was added, and the connection is done.
    pub async fn append(
        &mut self,
        mailbox: &Mailbox,
        items: &[AppendItem],
        shapes: &Shapes,
    ) -> Result<AppendOutcome, ImapError> {
        let outcome = if self.takes_batches() {
            self.append_command(mailbox, items, shapes).await
        } else if self.capabilities.has("LITERAL+") && items.len() > 1 {
            self.append_pipelined(mailbox, items, shapes).await
        } else {
            self.append_singly(mailbox, items, shapes).await
        };
        outcome.map_err(|e| in_folder(e, Some(mailbox)))
    }

    async fn append_singly(
        &mut self,
        mailbox: &Mailbox,
        items: &[AppendItem],
        shapes: &Shapes,
    ) -> Result<AppendOutcome, ImapError> {
        let mut all = AppendOutcome {
            items: Vec::with_capacity(items.len()),
        };
        for item in items {
            all.items.extend(
                self.append_command(mailbox, std::slice::from_ref(item), shapes)
                    .await?
                    .items,
            );
        }
        Ok(all)
    }

    async fn append_command(
        &mut self,
        mailbox: &Mailbox,
        items: &[AppendItem],
        shapes: &Shapes,
    ) -> Result<AppendOutcome, ImapError> {
        let tag = self.tag();
        let mut early = None;
        let mut new_shapes = Vec::new();
        let mut pending = format!("{tag} APPEND {}", mailbox.quoted()).into_bytes();
        for item in items {
            let shape = shape(mailbox, &item.flags);
            let known = shapes.borrow().contains(&shape) || new_shapes.contains(&shape);
            let literal = self.literal(item.octets.len(), known);
            pending.extend_from_slice(self.head(item, literal)?.as_bytes());
            if literal == Literal::Synchronising {
                early = self.write_listening("APPEND", &tag, &pending).await?;
                pending.clear();
                if early.is_none() {
                    early = self.until_plus("APPEND", &tag).await?;
                }
                new_shapes.push(shape);
            }
            if early.is_none() && (item.octets.len() > 64 * 1024 || pending.len() > 256 * 1024) {
                early = self.write_listening("APPEND", &tag, &pending).await?;
                pending.clear();
            }
            if early.is_some() {
                break;
            }
            if item.octets.len() > 64 * 1024 {
                early = self.write_listening("APPEND", &tag, &item.octets).await?;
            } else {
                pending.extend_from_slice(&item.octets);
            }
        }
        if early.is_none() {
            pending.extend_from_slice(b"\r\n");
            early = self.write_listening("APPEND", &tag, &pending).await?;
        } else if early.as_ref().is_some_and(|f| f.end == End::Ok) {
            return Err(self.error(Kind::Unexpected, "APPEND", "OK before the message was sent"));
        }
        let finished = match early {
            Some(finished) => finished,
            None => {
                self.finish("APPEND", Some(mailbox), &tag, |_| Ok(()))
                    .await?
            }
        };
        let result = self.result(items.len(), finished)?;
        if result.iter().all(Result::is_ok) {
            shapes.borrow_mut().extend(new_shapes);
        }
        Ok(AppendOutcome { items: result })
    }

    async fn append_pipelined(
        &mut self,
        mailbox: &Mailbox,
        items: &[AppendItem],
        shapes: &Shapes,
    ) -> Result<AppendOutcome, ImapError> {
        let mut all = AppendOutcome {
            items: Vec::with_capacity(items.len()),
        };
        let mut rest = items;
        while let Some((first, _)) = rest.split_first() {
            if !shapes.borrow().contains(&shape(mailbox, &first.flags)) {
                all.items.extend(
                    self.append_command(mailbox, std::slice::from_ref(first), shapes)
                        .await?
                        .items,
                );
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let run = rest
                .iter()
                .take_while(|i| shapes.borrow().contains(&shape(mailbox, &i.flags)))
                .count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let mut tags = Vec::with_capacity(now.len());
            for item in now {
                let tag = self.tag();
                let mut octets = format!("{tag} APPEND {}", mailbox.quoted()).into_bytes();
                octets.extend_from_slice(self.head(item, Literal::NonSynchronising)?.as_bytes());
                octets.extend_from_slice(&item.octets);
                octets.extend_from_slice(b"\r\n");
                // What earlier commands were answered is read below; only a BYE or a BAD matters here.
                self.write("APPEND", &octets).await?;
                tags.push(tag);
            }
            for tag in &tags {
                let finished = self
                    .finish("APPEND", Some(mailbox), tag, |_| Ok(()))
                    .await?;
                all.items.extend(self.result(1, finished)?);
            }
        }
        Ok(all)
    }

    fn head(&self, item: &AppendItem, literal: Literal) -> Result<String, ImapError> {
        append_head(&item.flags, item.date, item.octets.len(), literal).ok_or_else(|| {
            self.error(
                Kind::Unexpected,
                "APPEND",
                "a date that the protocol cannot express",
            )
        })
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

    fn result(
        &self,
        count: usize,
        finished: Finished,
    ) -> Result<Vec<Result<Appended, Refusal>>, ImapError> {
        match finished.end {
            End::Ok => Ok(appended(finished.code.as_ref(), count)
                .map_err(|text| self.error(Kind::Unexpected, "APPEND", text))?
                .into_iter()
                .map(Ok)
                .collect()),
            End::No => {
                let refusal = Refusal {
                    over_quota: over_quota(&finished.text),
                    text: super::error::shortened(&finished.text),
                };
                Ok(vec![Err(refusal); count])
            }
            _ => Err(self.error(Kind::Bad, "APPEND", &finished.text)),
        }
    }
}

fn shape(mailbox: &Mailbox, flags: &Flags) -> (Mailbox, String) {
    let keywords: Vec<&str> = flags.keywords().iter().map(|k| k.as_str()).collect();
    (mailbox.clone(), keywords.join(" "))
}

/// The UIDs of APPENDUID, which must be exactly as many as there were messages.
fn appended(code: Option<&Code>, count: usize) -> Result<Vec<Appended>, String> {
    let Some(Code::AppendUid(uidvalidity, ranges)) = code else {
        return Ok(vec![None; count]);
    };
    let uids = expand(ranges, count)
        .ok_or("APPENDUID with another number of UIDs than there were messages")?;
    Ok(uids
        .into_iter()
        .map(|uid| Some((*uidvalidity, uid)))
        .collect())
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
}
