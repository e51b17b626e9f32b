//! The mirror: look, plan, act, and look again at what was written, until there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::steady::Trust;
use super::{Round, Site};
use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::Corner;

use crate::clock;
use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::execute::Done;
use crate::imap::{ImapError, Kind};
use crate::kill;
use crate::ledger::Halt;
use crate::plan::budget::{First, Waiting, read_within, undecided, within};
use crate::plan::guard::Lost;
use crate::plan::identity::LogicalFolder;
use crate::plan::mirror::{Next, Plan, Read, Renamed, followed, plan};
use crate::plan::view::{FolderId, View};
use crate::report::Mirrored;
use crate::snapshot;
use crate::snapshot::{TargetFolder, Wanted};

/// Steps of one look at most, besides a rename of each folder: a history of random changes took fewer than twenty.
const STEPS: usize = 40;
/// What was refused is tried again after so many seconds: twice a day.
const TRY_AGAIN_S: i64 = 43_200;
/// How often a mirror begins anew at most, where a folder is gone that was there when it began.
const TRIES: u32 = 4;
/// How long a server is left alone that has ended a connection in the middle.
const PAUSE: Duration = Duration::from_secs(1);
/// Rounds with a failed connection at most.
const FAILED_ROUNDS: u32 = 3;

impl Site {
    /// Brings standby and store up to the primary. With `dry_run` nothing is carried out but reading.
    ///
    /// # Errors
    /// A corner that cannot be read or written; what was done stays done, and the next run goes on there.
    pub async fn mirror(
        &self,
        triangle: &TriangleConfig,
        dry_run: bool,
    ) -> Result<Mirrored, AgentError> {
        self.progress
            .say(format!("{}: looking at both accounts", triangle.name));
        self.sent.set(Volume::default());
        let result = self.mirror_round(triangle, dry_run).await;
        self.progress.end();
        if let Err(error) = &result {
            self.note_back_off(triangle, error)?;
        }
        result
    }

    async fn mirror_round(
        &self,
        triangle: &TriangleConfig,
        dry_run: bool,
    ) -> Result<Mirrored, AgentError> {
        let mut known = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let altered = self.ledger.borrow_mut().part_from_altered(&triangle.name)?;
            if altered > 0 {
                tracing::warn!(
                    triangle = triangle.name,
                    messages = altered,
                    "the primary gives other octets than it gave: what was copied stays, and what is there now is copied too"
                );
            }
            let mut round = self
                .unless_stopped(Round::look(self, triangle, false))
                .await?;
            round.warn_of_exclusions();
            let mut result = round.mirror(dry_run).await;
            if let Ok(mirrored) = &mut result {
                mirrored.refused = round.refused();
                round.warn_of(&mirrored.refused);
            }
            round.note_spent()?;
            match result {
                Ok(mirrored) => {
                    round.end().await;
                    return Ok(mirrored);
                }
                Err(AgentError::Imap(error)) if error.outdates_the_list() && tries < TRIES => {
                    tracing::warn!(%error, "looking again");
                }
                Err(AgentError::Imap(error)) if error.ended() => {
                    let now = self.known(triangle)?;
                    if known.replace(now).is_some_and(|before| now <= before) {
                        return Err(error.into());
                    }
                    tracing::warn!(%error, "going on where it ended");
                    let wait = async {
                        tokio::time::sleep(PAUSE).await;
                        Ok(())
                    };
                    self.unless_stopped(wait).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Messages that the ledger knows in both accounts: it grows by whatever a run has brought.
    fn known(&self, triangle: &TriangleConfig) -> Result<u64, AgentError> {
        let mut ledger = self.ledger.borrow_mut();
        let mut count = 0;
        for corner in [Corner::Primary, Corner::Standby] {
            count += ledger.count_messages(&triangle.name, corner.as_str())?;
        }
        Ok(count)
    }
}

impl Round<'_> {
    async fn mirror(&mut self, dry_run: bool) -> Result<Mirrored, AgentError> {
        let stood = self.store_stands().await?;
        if !stood.in_step {
            self.remember().await?;
        }
        let mut refilled = false;
        if !dry_run {
            let site = self.site;
            refilled = site.unless_stopped(self.refill(stood)).await?;
            let before = clock::now_s() - TRY_AGAIN_S;
            let mut ledger = self.site.ledger.borrow_mut();
            ledger.retry_quarantined(&self.triangle.name, before)?;
        }
        let name = &self.triangle.name;
        let mut mirrored = Mirrored {
            cut: self.cut.clone(),
            ..Mirrored::default()
        };
        let mut lost = Lost::default();
        let mut failed_rounds = 0;
        let mut before: Option<Plan> = None;
        let (mut stuck, mut left) = (false, false);
        let mut shown = Vec::new();
        let mut waiting = Waiting::default();
        let (mut renames, mut refused) = (0, None);
        let mut asked: Option<Read> = None;
        for step in 0.. {
            let each = STEPS + self.source.folders.len().min(renames);
            if step >= each.saturating_mul(1 + self.looks.again) {
                return Err(AgentError::Unsteady);
            }
            self.site.unless_stopped(async { Ok(()) }).await?;
            let mut view = self.view()?;
            let behind: Vec<Renamed> = shown
                .iter()
                .map(|rename| followed(&mut view, rename))
                .collect();
            let (history, halt) = {
                let mut ledger = self.site.ledger.borrow_mut();
                (ledger.history(name, clock::now_s())?, ledger.halt(name)?)
            };
            let released = halt.as_ref().filter(|h| h.confirmed).map(|h| h.id.as_str());
            match plan(&view, self.triangle.guard, history, released) {
                Next::Read(_) | Next::Look if !behind.is_empty() => {
                    mirrored.dry_run = Some(Plan {
                        renames: behind,
                        ..Plan::default()
                    });
                    return Ok(mirrored);
                }
                Next::Read(mut read) => {
                    let waits = read_within(&mut read, &view, self.left()?.0);
                    if read == Read::default() {
                        if !waits.is_empty() {
                            waiting = undecided(&view, waits.first);
                        }
                        break;
                    }
                    if asked.as_ref() == Some(&read) {
                        // Not one of them came: they are gone since they were listed.
                        asked = None;
                        self.look_once_more().await?;
                        continue;
                    }
                    asked = Some(read.clone());
                    self.site
                        .progress
                        .say(format!("{name}: reading what is not known yet"));
                    let execution = self.execution();
                    let reading = execution.read(
                        &read,
                        &mut self.source_link,
                        &mut self.target_link,
                        &self.batches,
                    );
                    self.site.unless_stopped(reading).await?;
                }
                Next::Look => {
                    self.site
                        .progress
                        .say(format!("{name}: looking for copies that are gone"));
                    let site = self.site;
                    site.unless_stopped(self.look_at_target(|_| true)).await?;
                }
                Next::Rename(rename) if !dry_run => {
                    renames += 1;
                    let execution = self.execution();
                    let renamed = execution.rename(&rename, &view, self.target_link.imap()?);
                    match renamed.await {
                        // One that was cut off may have been done meanwhile.
                        Err(AgentError::Imap(error))
                            if error.kind == Kind::No && refused.as_ref() != Some(&rename) =>
                        {
                            refused = Some(rename);
                        }
                        other => other?,
                    }
                    self.look_again(false).await?;
                    // What was seen by now is mirrored too, and not late.
                    mirrored.cut = self.cut.clone();
                }
                // Nothing is renamed for a plan that is only shown.
                Next::Rename(rename) => {
                    renames += 1;
                    shown.push(rename);
                }
                Next::Act(mut plan) => {
                    self.ask_room(&plan).await?;
                    let (source, target) = self.left()?;
                    waiting = within(&mut plan, source, target, &self.room);
                    if dry_run {
                        mirrored.halt = self.note_halt(&plan)?;
                        mirrored.pending = self.pending(waiting)?;
                        plan.renames = behind;
                        mirrored.dry_run = Some(plan);
                        return Ok(mirrored);
                    }
                    mirrored.cut = self.cut.clone();
                    match self.trust(&mut plan, &view).await? {
                        Trust::Whole => left = false,
                        Trust::LookedAgain => continue,
                        Trust::Part(first) => {
                            left = true;
                            mirrored.cut.end_before(&first, &self.source);
                        }
                    }
                    mirrored.halt = self.note_halt(&plan)?;
                    stuck = before.as_ref() == Some(&plan) && failed_rounds == 0;
                    if plan.is_empty() || stuck {
                        break;
                    }
                    if plan.held.is_none() {
                        lost.vanished += plan.lost.vanished;
                        lost.put_back += plan.lost.put_back;
                    }
                    self.site.progress.say(format!("{name}: mirroring"));
                    self.refill_for(&plan).await?;
                    self.room_is_told = false;
                    let (done, folders) = self.act(&plan, &view).await?;
                    mirrored.volume = self.site.sent();
                    failed_rounds = self.count_failures(failed_rounds, done.failures)?;
                    if failed_rounds > 0 {
                        self.look_at_target(|name| done.touched.contains(name))
                            .await?;
                    } else {
                        self.look_at_written(&done.touched, folders).await?;
                    }
                    before = Some(plan);
                }
            }
        }
        if refilled {
            // What lies elsewhere by now could not be asked for where it was.
            let site = self.site;
            site.unless_stopped(self.refill(stood)).await?;
        }
        for row in &self.unfilled {
            waiting.add(First {
                bytes: u64::from(row.size),
                read: true,
                sent: false,
            });
        }
        mirrored.pending = self.pending(waiting)?;
        mirrored.unfilled.clone_from(&self.unfilled);
        mirrored.cut.shown = snapshot::shown(&self.source);
        let held = mirrored.halt.is_some() || stuck || left || mirrored.pending.is_some();
        // What was forgotten of a folder that is closed is remembered when it is open again.
        let open = self.source.closed.is_empty();
        let in_step = stood.in_step || self.correct_store().await? && !held && open;
        self.short = mirrored.pending.is_some();
        self.settle(held, lost)?;
        self.note_store(stood, in_step).await?;
        Ok(mirrored)
    }

    fn view(&mut self) -> Result<View, AgentError> {
        let choice = self.choice();
        let moves = self.target_link.imap()?.capabilities.has("MOVE");
        let mut ledger = self.site.ledger.borrow_mut();
        snapshot::view(
            &mut ledger,
            choice,
            &mut self.source,
            &mut self.target,
            moves,
            Wanted::Unsettled,
        )
    }

    /// Carries out a plan: what was done, and the target's folders with those that were made.
    async fn act(
        &mut self,
        plan: &Plan,
        view: &View,
    ) -> Result<(Done, BTreeMap<LogicalFolder, TargetFolder>), AgentError> {
        let execution = self.execution();
        let (source, target) = (&mut self.source_link, &mut self.target_link);
        let done = execution.act(plan, view, source, target).await?;
        Ok((done, execution.folders.into_inner()))
    }

    /// Connections that failed while others went on: looked at again, a few times.
    fn count_failures(&mut self, rounds: u32, failures: Vec<ImapError>) -> Result<u32, AgentError> {
        let Some(first) = failures.first().cloned() else {
            return Ok(0);
        };
        self.careful |= failures.iter().any(|f| f.kind == Kind::Bad);
        if rounds + 1 >= FAILED_ROUNDS && !self.careful || rounds > 20 {
            return Err(first.into());
        }
        tracing::warn!(error = %first, "a connection failed; looking again");
        Ok(rounds + 1)
    }

    fn note_halt(&self, plan: &Plan) -> Result<Option<Halt>, AgentError> {
        let name = &self.triangle.name;
        let mut ledger = self.site.ledger.borrow_mut();
        match &plan.held {
            Some(held) => {
                ledger.add_halt(name, &held.id, held.messages, held.of, clock::now_s())?;
                Ok(ledger.halt(name)?)
            }
            None => Ok(None),
        }
    }

    /// Notes where everything stands, so that the next run need not look at it again.
    fn settle(&mut self, held: bool, lost: Lost) -> Result<(), AgentError> {
        let name = &self.triangle.name;
        let all = self
            .source
            .folders
            .values()
            .chain(self.target.folders.values())
            .map(|f| f.known.id);
        let open: BTreeSet<FolderId> = if held { all.collect() } else { BTreeSet::new() };
        let gone: Vec<FolderId> = self
            .source
            .folders
            .values()
            .chain(self.target.folders.values())
            .filter(|f| f.status.is_none())
            .map(|f| f.known.id)
            .collect();
        let mut ledger = self.site.ledger.borrow_mut();
        let mut stood = snapshot::stood(&self.source, &open);
        stood.extend(snapshot::stood(&self.target, &open));
        ledger.settle(&stood)?;
        if !held {
            ledger.drop_empty_folders(&gone)?;
            ledger.clear_halt(name)?;
        }
        // What is on its way to a folder that was not looked at stays in doubt.
        let closed = self.target.closed.values().filter_map(|c| c.folder);
        let closed: BTreeSet<FolderId> = closed.collect();
        let looked_at = self.batches.iter().filter(|b| !closed.contains(&b.folder));
        let batches: Vec<i64> = looked_at.map(|b| b.id).collect();
        ledger.drop_batches(&batches)?;
        ledger.close_mirror(name, lost, self.short, clock::now_s())?;
        kill::point("run settled");
        Ok(())
    }
}
