//! Tx: all corners listed afresh, bytes read back, the differences named and looked at twice.

mod certify;
mod heads;
mod laps;
mod read_back;
mod sight;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::UNANCHORED;
use maildreieck_api_spec::vocabulary::Depth;

use self::laps::Laps;
use super::{Round, Site};
use crate::clock;
use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::execute::Narrowing;
use crate::plan::budget::read_within;
use crate::plan::mirror::Read;
use crate::plan::reconcile::{Difference, left_out};
use crate::plan::view::Side;
use crate::report::{Head, Mirrored, Proof};
use crate::snapshot::{self, Cut, Wanted};

/// How often a Tx looks until two looks agree; of corners that never stand still the last one counts.
const LOOKS: u32 = 4;

/// What is to be proved.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// What the certificate calls the triangle.
    pub triangle_id: &'a str,
    /// How deep to look.
    pub depth: Depth,
    /// The server's nonce, or [`UNANCHORED`].
    pub nonce: &'a str,
    /// When the run began.
    pub began_at: DateTime<Utc>,
}

impl<'a> Asked<'a> {
    /// By a person, of the triangle under its own name: no server gives a nonce.
    #[must_use]
    pub fn by_hand(triangle: &'a TriangleConfig, depth: Depth, began_at: DateTime<Utc>) -> Self {
        Self {
            triangle_id: &triangle.name,
            depth,
            nonce: UNANCHORED,
            began_at,
        }
    }
}

impl Site {
    /// Proves that the corners hold the same mail. After a mirror it is cut where the primary stood when that
    /// last looked; without one at its own start. The proof begins no earlier than the run did, also where the
    /// clock was set back meanwhile.
    ///
    /// # Errors
    /// A corner that cannot be read: there is no proof then.
    pub async fn reconcile(
        &self,
        triangle: &TriangleConfig,
        asked: &Asked<'_>,
        after: Option<&Mirrored>,
    ) -> Result<Proof, AgentError> {
        let proof = self.prove(triangle, asked, after, false);
        Ok(proof.await?.0)
    }

    /// As [`Self::reconcile`], and what the message of each difference is called, as far as anybody knows: for the
    /// people of the site.
    ///
    /// # Errors
    /// As [`Self::reconcile`]; that nobody knows is none.
    pub async fn reconcile_for_people(
        &self,
        triangle: &TriangleConfig,
        asked: &Asked<'_>,
        after: Option<&Mirrored>,
    ) -> Result<(Proof, Vec<Head>), AgentError> {
        self.prove(triangle, asked, after, true).await
    }

    async fn prove(
        &self,
        triangle: &TriangleConfig,
        asked: &Asked<'_>,
        after: Option<&Mirrored>,
        for_people: bool,
    ) -> Result<(Proof, Vec<Head>), AgentError> {
        self.progress
            .say(format!("{}: listing all corners", triangle.name));
        let tx_at = clock::now().max(asked.began_at);
        let round = self.reconcile_round(triangle, asked, after, tx_at);
        let result = self.unless_stopped(round).await;
        self.progress.end();
        let (mut round, proof) = match result {
            Ok(done) => done,
            Err(error) => {
                self.note_back_off(triangle, &error)?;
                return Err(error);
            }
        };
        let mut heads = Vec::new();
        if for_people {
            // The proof is made: whoever is told to stop here has it all the same.
            let names = async { Ok(round.heads(&proof.differences).await) };
            heads = self.unless_stopped(names).await.unwrap_or_default();
        }
        round.end().await;
        Ok((proof, heads))
    }

    async fn reconcile_round<'a>(
        &'a self,
        triangle: &'a TriangleConfig,
        asked: &Asked<'_>,
        after: Option<&Mirrored>,
        tx_at: DateTime<Utc>,
    ) -> Result<(Round<'a>, Proof), AgentError> {
        let mut laps = Laps::begin();
        let mut round = Round::look(self, triangle, true).await?;
        laps.end("listing");
        round.short = after.is_some_and(|mirrored| mirrored.pending.is_some());
        let cut = after.map(|mirrored| mirrored.cut.clone());
        let stood = round.store_stands().await?;
        match after {
            Some(mirrored) => round.unfilled.clone_from(&mirrored.unfilled),
            // What a mirror could not fetch now either waits.
            None => drop(round.lost(stood).await?),
        }
        let result = round.reconcile(asked, cut, tx_at).await;
        if let (Ok(proof), None) = (&result, after) {
            // A mirror that came before has said it.
            round.warn_of(&proof.refused);
        }
        round.note_spent()?;
        let proof = result?;
        round.note_store(stood, stood.in_step).await?;
        Ok((round, proof))
    }
}

impl Round<'_> {
    async fn reconcile(
        &mut self,
        asked: &Asked<'_>,
        before: Option<Cut>,
        tx_at: DateTime<Utc>,
    ) -> Result<Proof, AgentError> {
        let mut laps = Laps::begin();
        let primary = before.map(|cut| (cut.primary, cut.shown));
        self.know_everything().await?;
        laps.end("knowing all");
        let (primary, shown) =
            primary.unwrap_or_else(|| (self.cut.primary.clone(), snapshot::shown(&self.source)));
        let cut = Cut {
            primary,
            standby: self.cut.standby.clone(),
            shown,
        };
        let depth = asked.depth;
        let proved = self.read_back(depth).await?;
        laps.end("reading back");
        let (mut seen, mut differences) = self.compare(&cut, &proved, depth).await?;
        // A difference counts only if a second look after the last listing confirms it. What is counted and
        // what differs is of one look: figures of another would contradict the differences.
        let mut before = Vec::new();
        for _ in 1..LOOKS {
            if confirmed(&before, &differences) {
                break;
            }
            self.look_again(true).await?;
            self.know_everything().await?;
            before = differences;
            (seen, differences) = self.compare(&cut, &proved, depth).await?;
        }
        differences.extend(left_out(&self.source.left_out));
        differences.sort();
        laps.end("comparing");
        let proof = self.conclude(asked, tx_at, &cut, seen, differences, &proved);
        laps.end("certifying");
        proof
    }

    /// Reads what no row says yet: mail that has not been mirrored, mail that somebody put on the standby.
    async fn know_everything(&mut self) -> Result<(), AgentError> {
        let choice = self.choice();
        let view = {
            let mut ledger = self.site.ledger.borrow_mut();
            let (source, target) = (&mut self.source, &mut self.target);
            snapshot::view(&mut ledger, choice, source, target, false, Wanted::Unknown)?
        };
        // What could not be read before is tried again, unless there is so much of it that an account would seem to fail
        // that gives nothing else here: then only a mirror does, twice a day.
        let sides = view
            .pairs
            .values()
            .flat_map(|pair| [&pair.source, &pair.target]);
        let unreadable: usize = sides.flatten().map(|side| side.unreadable.len()).sum();
        let again = unreadable <= Narrowing::MOST_AT_FIRST;
        let unknown = |side: &Side| -> Vec<u32> {
            let known =
                |uid: &u32| side.rows.contains_key(uid) || !again && side.unreadable.contains(uid);
            let new = side.shown.iter().filter(|s| !known(&s.uid));
            new.map(|s| s.uid).collect()
        };
        let mut read = Read::default();
        for pair in view.pairs.values() {
            for (side, list) in [
                (&pair.source, &mut read.source),
                (&pair.target, &mut read.target),
            ] {
                if let Some(side) = side {
                    let uids = unknown(side);
                    if !uids.is_empty() {
                        list.insert(side.folder, uids);
                    }
                }
            }
        }
        // What waits for the budget is not read for the proof's sake; what the budget has no room for waits.
        if self.short {
            read.source.clear();
        } else {
            self.short = !read_within(&mut read, &view, self.left()?.0).is_empty();
        }
        if read != Read::default() {
            let execution = self.execution();
            execution
                .read(
                    &read,
                    &mut self.source_link,
                    &mut self.target_link,
                    &self.batches,
                )
                .await?;
        }
        Ok(())
    }
}

/// Whether the look before showed all that nothing explains now, each as often.
fn confirmed(before: &[Difference], now: &[Difference]) -> bool {
    let mut shown: BTreeMap<_, u64> = BTreeMap::new();
    let key = |d: &Difference| (d.class, d.folder.clone(), d.corner, d.against, d.content);
    for difference in before {
        *shown.entry(key(difference)).or_default() += difference.count;
    }
    now.iter().filter(|d| d.reason.is_none()).all(|d| {
        let left = shown.get_mut(&key(d));
        let left = left.and_then(|left| Some((left.checked_sub(d.count)?, left)));
        left.map(|(rest, left)| *left = rest).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::identity::{ContentId, LogicalFolder};
    use maildreieck_api_spec::vocabulary::{Class, Corner, Reason};

    #[test]
    fn what_nothing_explains_is_confirmed_by_the_look_before() {
        let found = |octets: &str, reason| Difference {
            class: Class::MissingAtPrimary,
            folder: LogicalFolder::from_stored("INBOX"),
            corner: Corner::Standby,
            against: None,
            content: Some(ContentId::of(octets.as_bytes())),
            uid: None,
            count: 1,
            reason,
            detail: String::new(),
            lies: None,
            contrast: None,
        };
        let (a, b) = (found("a", None), found("b", None));
        let explained = found("c", Some(Reason::ByClass));
        assert!(confirmed(&[], &[]));
        assert!(confirmed(&[], std::slice::from_ref(&explained)));
        assert!(!confirmed(&[], std::slice::from_ref(&a)));
        // Gone meanwhile, still there, another one.
        assert!(confirmed(&[a.clone(), b.clone()], &[]));
        assert!(confirmed(&[a.clone(), b.clone()], &[a.clone(), explained]));
        assert!(!confirmed(std::slice::from_ref(&a), &[b]));
        // Once is not twice.
        assert!(!confirmed(
            std::slice::from_ref(&a),
            &[a.clone(), a.clone()]
        ));
        assert!(confirmed(&[a.clone(), a.clone()], &[a.clone(), a]));
    }
}
