//! The steps of a plan besides messages on their way: renames, reading, folders, records, moves, flags.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::transfer::length;
use super::{Bodies, Done, Execution, Narrowing};
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{BodyEvent, FlagChange, FolderStatus, Kind, Link, Made, Mailbox, wire};
use crate::kill;
use crate::ledger::{Batch, NewRow, StoredRow};
use crate::plan::identity::{ContentId, LogicalFolder, MemberId};
use crate::plan::mirror::{FlagStep, MoveStep, Plan, Read, Record, Rename};
use crate::plan::names::{new_name, role_name, with_namespace, without_namespace};
use crate::plan::view::{FolderId, Origin, Place, View};
use crate::snapshot::TargetFolder;
use crate::store::Event;

impl Execution<'_> {
    /// Carries out everything of a plan, in the order that survives a crash.
    ///
    /// # Errors
    /// What a person has to mend, or a later run; what was done stays done and noted.
    pub async fn act(
        &self,
        plan: &Plan,
        view: &View,
        source: &mut Account,
        target: &mut Account,
    ) -> Result<Done, AgentError> {
        let stats = self.store.lock().stats()?;
        self.begun.set(stats.messages + stats.tombstones > 0);
        let mut touched = plan.create.clone();
        let target = target.imap()?;
        let prepared = async {
            self.create(&plan.create, target).await?;
            self.record(plan, view).await?;
            for step in &plan.moves {
                self.follow_move(step, view, target).await?;
                touched.insert(step.to.clone());
                touched.extend(self.logical_of(step.from));
            }
            for step in &plan.flags {
                self.set_flags(step, view, target).await?;
                touched.extend(self.logical_of(step.folder));
            }
            Ok(())
        };
        let mut done = self.transfer(plan, source, prepared).await?;
        done.touched.append(&mut touched);
        Ok(done)
    }

    fn logical_of(&self, folder: FolderId) -> Option<LogicalFolder> {
        self.folders
            .borrow()
            .iter()
            .find(|(_, f)| f.known.id == folder)
            .map(|(name, _)| name.clone())
    }

    /// Makes folders that the target lacks. A name that another folder bears gets a number, and the ledger keeps
    /// which is which.
    async fn create(
        &self,
        wanted: &BTreeSet<LogicalFolder>,
        target: &mut Link,
    ) -> Result<(), AgentError> {
        let mut have: BTreeMap<LogicalFolder, String> = self
            .folders
            .borrow()
            .iter()
            .map(|(name, f)| (name.clone(), self.own_text(&f.mailbox)))
            .collect();
        let mut lacking = Vec::new();
        for folder in wanted {
            if have.contains_key(folder) {
                continue;
            }
            let text = self
                .source_folders
                .get(folder)
                .map(|(mailbox, _)| wire::decode_utf7(mailbox.as_str()));
            let role = text
                .as_deref()
                .and_then(|text| role_name(folder, text, self.source_separator))
                .or_else(|| folder.components().0)
                .unwrap_or_default();
            let role = role.trim_start_matches('\\');
            let name = new_name(folder, self.separator, self.prefix, &have, role);
            let mailbox = self.free_name(folder, &name.text)?;
            // What lies below it is named after it.
            have.insert(folder.clone(), self.own_text(&mailbox));
            lacking.push((folder, name.text, (mailbox, name.role)));
        }
        while !lacking.is_empty() {
            let asks: Vec<_> = lacking.iter().map(|(.., ask)| ask.clone()).collect();
            let made = target.make_folders(&asks).await?;
            let mut again = Vec::new();
            for ((folder, text, (mailbox, role)), made) in lacking.into_iter().zip(made) {
                let text = match made {
                    Made::New(status) => {
                        self.know_folder(folder, mailbox, status)?;
                        continue;
                    }
                    Made::There(status) => {
                        // One that is empty and bears just this name has come since the target was listed: our own
                        // CREATE, cut off and carried out later. A name that differs by case is another folder's.
                        if self.was_ours(folder, &mailbox)?
                            || status.messages == 0
                                && target.folders().await?.all.contains_key(&mailbox)
                        {
                            self.know_folder(folder, mailbox, status)?;
                            continue;
                        }
                        text
                    }
                    Made::Refused(error) => without_dots(&text, self.separator).ok_or(error)?,
                };
                let mailbox = self.free_name(folder, &text)?;
                again.push((folder, text, (mailbox, role)));
            }
            lacking = again;
        }
        Ok(())
    }

    /// A name for a folder on the target that no other folder bears, and that counts as taken from now on.
    fn free_name(&self, folder: &LogicalFolder, text: &str) -> Result<Mailbox, AgentError> {
        let numbered = (2..).map(|number: u32| format!("{text}={number}"));
        for text in std::iter::once(text.to_owned()).chain(numbered) {
            let text = with_namespace(&text, &self.namespace);
            let mailbox = Mailbox::new(&wire::encode_utf7(&text)).ok_or_else(|| {
                AgentError::Config(format!(
                    "folder '{folder}' has no name that the target could hold"
                ))
            })?;
            let free = self.taken.borrow_mut().insert(mailbox.as_str().to_owned());
            if free || self.was_ours(folder, &mailbox)? {
                return Ok(mailbox);
            }
        }
        Err(AgentError::Internal("all names are taken"))
    }

    /// A target folder's name in plain text, without the account's name space.
    fn own_text(&self, mailbox: &Mailbox) -> String {
        let text = wire::decode_utf7(mailbox.as_str());
        let own = without_namespace(&text, &self.namespace).map(str::to_owned);
        own.unwrap_or(text)
    }

    fn know_folder(
        &self,
        folder: &LogicalFolder,
        mailbox: Mailbox,
        status: FolderStatus,
    ) -> Result<(), AgentError> {
        let mut ledger = self.ledger.borrow_mut();
        let known = ledger.folder(self.triangle, self.target_corner, mailbox.as_str())?;
        let known = match known {
            // It was there before and is back: what was known of it is stale.
            Some(mut known) => {
                if known.uidvalidity != status.uidvalidity {
                    ledger.begin_generation(&mut known, status.uidvalidity)?;
                }
                known
            }
            None => ledger.add_folder(
                self.triangle,
                self.target_corner,
                mailbox.as_str(),
                folder,
                status.uidvalidity,
                status.uidnext,
            )?,
        };
        self.folders.borrow_mut().insert(
            folder.clone(),
            TargetFolder {
                mailbox,
                known,
                uidnext: status.uidnext,
            },
        );
        Ok(())
    }

    /// Whether a name on the target is that of this folder already.
    fn was_ours(&self, folder: &LogicalFolder, mailbox: &Mailbox) -> Result<bool, AgentError> {
        let mut ledger = self.ledger.borrow_mut();
        let known = ledger.folder(self.triangle, self.target_corner, mailbox.as_str())?;
        Ok(known.is_some_and(|known| known.logical == *folder))
    }

    /// Membership into the store first, then the ledger: repeated after a crash it is the same.
    async fn record(&self, plan: &Plan, view: &View) -> Result<(), AgentError> {
        let now = clock::now_s();
        let mut events = Vec::new();
        let mut members = Vec::new();
        let mut inherited = BTreeSet::new();
        for record in &plan.records {
            match record {
                Record::SourceAgain { from, to } | Record::Moved { from, to, .. } => {
                    inherited.insert(*to);
                    if let (Some(old), Some(new)) = (view.source_row(*from), view.source_row(*to)) {
                        let member = match old.member {
                            Some(member) => member,
                            None => self.new_member(*to, new.content)?,
                        };
                        events.push(self.add(member, *to, new)?);
                    }
                }
                Record::Revive {
                    tombstone,
                    source,
                    folder,
                } => {
                    inherited.insert(*source);
                    if let (Some(tombstone), Some(row)) = (
                        view.tombstones.iter().find(|t| t.id == *tombstone),
                        view.source_row(*source),
                    ) {
                        let (folder, flags) = (folder.clone(), row.flags.clone());
                        events.push(Event::Revive {
                            member: tombstone.member,
                            folder,
                            flags,
                        });
                    }
                }
                Record::Tombstone { source } => {
                    if let Some(member) = view.source_row(*source).and_then(|row| row.member) {
                        events.push(Event::Tombstone { member, at: now });
                    }
                }
                Record::SourceFlags { source, flags } => {
                    if let Some(member) = view.source_row(*source).and_then(|row| row.member) {
                        events.push(Event::Flags {
                            member,
                            flags: flags.clone(),
                        });
                    }
                }
                _ => {}
            }
        }
        let adopted = plan.records.iter().filter_map(|r| match r {
            Record::Adopt { source, .. } => Some(*source),
            _ => None,
        });
        let sent = plan.sends.values().flatten().map(|send| send.source);
        for at in adopted.chain(sent).collect::<BTreeSet<_>>() {
            if let Some(row) = view.source_row(at)
                && row.member.is_none()
                && !inherited.contains(&at)
            {
                let member = self.new_member(at, row.content)?;
                events.push(self.add(member, at, row)?);
                members.push((at, member));
            }
        }
        if !events.is_empty() {
            let commit = move |store: &mut crate::store::Store| {
                for event in events {
                    store.record(event)?;
                }
                Ok(store.commit()?)
            };
            self.store.with(commit).await?;
        }
        let mut ledger = self.ledger.borrow_mut();
        ledger.set_members(&members)?;
        ledger.apply(self.triangle, &plan.records, now, self.epoch)?;
        Ok(())
    }

    fn source_of(&self, at: Place) -> Option<(&LogicalFolder, &str, u32)> {
        let found = self
            .source_folders
            .iter()
            .find(|(_, (_, known))| known.id == at.folder);
        found.map(|(name, (mailbox, known))| (name, mailbox.as_str(), known.uidvalidity))
    }

    fn new_member(&self, at: Place, content: ContentId) -> Result<MemberId, AgentError> {
        let (mailbox, uidvalidity) = self
            .source_of(at)
            .map_or(("", 0), |(_, mailbox, validity)| (mailbox, validity));
        let id = MemberId::of(self.triangle, mailbox, uidvalidity, at.generation, at.uid);
        Ok(self.store.lock().member_for(id, content, clock::now_s())?)
    }

    fn add(
        &self,
        member: MemberId,
        at: Place,
        row: &crate::plan::view::Row,
    ) -> Result<Event, AgentError> {
        let (folder, ..) = self.source_of(at).ok_or(AgentError::Internal(
            "a record names a source folder that was not seen",
        ))?;
        Ok(Event::Add {
            member,
            triangle: self.triangle.into(),
            folder: folder.clone(),
            content: row.content,
            date: row.date,
            flags: row.flags.clone(),
            size: row.size,
        })
    }

    async fn follow_move(
        &self,
        step: &MoveStep,
        view: &View,
        target: &mut Link,
    ) -> Result<(), AgentError> {
        let to = self.target(&step.to)?;
        let (_, from) = self.by_id(step.from)?;
        let uidvalidity = from.known.uidvalidity;
        target.open_listed(&from.mailbox, uidvalidity, true).await?;
        for messages in step.messages.chunks(200) {
            let uids: Vec<u32> = messages.iter().map(|(uid, _)| *uid).collect();
            let contents: Vec<ContentId> = messages
                .iter()
                .filter_map(|(_, at)| view.source_row(*at))
                .map(|row| row.content)
                .collect();
            let batch = self.open_batches(&to, &[contents], &[]).await?;
            let told = target.move_messages(&uids, &to.mailbox).await?;
            let there = told
                .filter(|(validity, _)| *validity == to.known.uidvalidity)
                .map(|(_, uids)| uids);
            let moved: Vec<(Place, Place, Option<Place>)> = messages
                .iter()
                .enumerate()
                .map(|(i, (uid, source))| {
                    let old = Place {
                        folder: from.known.id,
                        generation: from.known.generation,
                        uid: *uid,
                    };
                    let new = there
                        .as_ref()
                        .and_then(|uids| uids.get(i))
                        .map(|uid| Place {
                            folder: to.known.id,
                            generation: to.known.generation,
                            uid: *uid,
                        });
                    (*source, old, new)
                })
                .collect();
            let mut ledger = self.ledger.borrow_mut();
            ledger.copy_moved(&moved)?;
            if there.is_some() {
                ledger.drop_batches(&batch)?;
            }
        }
        Ok(())
    }

    pub(super) fn target(&self, folder: &LogicalFolder) -> Result<TargetFolder, AgentError> {
        let folder = self.folders.borrow().get(folder).cloned();
        folder.ok_or(AgentError::Internal(
            "a plan names a target folder that was not made",
        ))
    }

    fn by_id(&self, id: FolderId) -> Result<(LogicalFolder, TargetFolder), AgentError> {
        let folders = self.folders.borrow();
        let found = folders.iter().find(|(_, f)| f.known.id == id);
        let found = found.map(|(name, folder)| (name.clone(), folder.clone()));
        found.ok_or(AgentError::Internal(
            "a plan names a target folder that was not seen",
        ))
    }

    async fn set_flags(
        &self,
        step: &FlagStep,
        view: &View,
        target: &mut Link,
    ) -> Result<(), AgentError> {
        let (logical, folder) = self.by_id(step.folder)?;
        let uidvalidity = folder.known.uidvalidity;
        let opened = target
            .open_listed(&folder.mailbox, uidvalidity, true)
            .await?;
        let mut flags = step.flags.clone();
        if step.add
            && let Some(allowed) = &opened.keywords
        {
            // The server says which keywords stay: the others are refused, and noted as that.
            let fits = |k: &crate::plan::identity::Keyword| {
                allowed
                    .iter()
                    .any(|a| a.as_str().eq_ignore_ascii_case(k.as_str()))
            };
            for keyword in flags.keywords().iter().filter(|k| !fits(k)) {
                self.ledger.borrow_mut().refuse_keyword(
                    self.triangle,
                    self.target_corner,
                    keyword.as_str(),
                )?;
            }
            flags = flags.retain_keywords(fits);
        }
        let change = if step.add {
            FlagChange::Add
        } else {
            FlagChange::Remove
        };
        if !flags.is_empty() {
            match target.change_flags(&step.uids, change, &flags).await {
                Err(error) if error.kind == Kind::No && !flags.keywords().is_empty() => {
                    for keyword in flags.keywords() {
                        self.ledger.borrow_mut().refuse_keyword(
                            self.triangle,
                            self.target_corner,
                            keyword.as_str(),
                        )?;
                    }
                    let system = flags.retain_keywords(|_| false);
                    if !system.is_empty() {
                        target.change_flags(&step.uids, change, &system).await?;
                    }
                }
                other => other?,
            }
        }
        if step.repair {
            let rows = view
                .pairs
                .get(&logical)
                .and_then(|p| p.target.as_ref())
                .map(|t| &t.rows);
            let repairs: Vec<_> = step
                .uids
                .iter()
                .filter_map(|uid| rows.and_then(|rows| rows.get(uid)))
                .map(|row| {
                    (
                        self.triangle,
                        Class::FlagsDiffer,
                        self.target_corner,
                        logical.clone(),
                        row.content,
                    )
                })
                .collect();
            self.ledger
                .borrow_mut()
                .add_repairs(&repairs, clock::now_s())?;
        }
        Ok(())
    }

    /// Reads messages that a plan could not decide about: the source's into the store, the target's to know
    /// what they are.
    /// # Errors
    /// A corner cannot be read or the store not written.
    pub async fn read(
        &self,
        read: &Read,
        source: &mut Account,
        target: &mut Account,
        batches: &[Batch],
    ) -> Result<(), AgentError> {
        let (mut of_source, mut of_target) = (Narrowing::default(), Narrowing::default());
        for (id, uids) in &read.target {
            let Ok((_, folder)) = self.by_id(*id) else {
                continue;
            };
            let mut ours: Vec<ContentId> = batches
                .iter()
                .filter(|b| b.folder == *id)
                .flat_map(|b| b.contents.iter().copied())
                .collect();
            let there = (&folder.mailbox, folder.known.uidvalidity);
            target.open_listed(there.0, there.1).await?;
            let at = Place {
                folder: *id,
                generation: folder.known.generation,
                uid: 0,
            };
            let there = (there, &mut of_target);
            self.identify(target, there, at, uids, |uid, content| {
                let known = &folder.known;
                let origin = if known.generation == 1 && uid < known.found_uidnext {
                    Origin::Preexisting
                } else {
                    Origin::Foreign
                };
                match ours.iter().position(|c| *c == content) {
                    Some(index) => {
                        ours.swap_remove(index);
                        Origin::Written
                    }
                    None => origin,
                }
            })
            .await?;
        }
        for (id, uids) in &read.source {
            let found = self
                .source_folders
                .values()
                .find(|(_, known)| known.id == *id);
            let Some((mailbox, known)) = found else {
                continue;
            };
            source.open_listed(mailbox, known.uidvalidity).await?;
            self.fetch_into_store(
                source,
                ((mailbox, known.uidvalidity), &mut of_source),
                Place {
                    folder: *id,
                    generation: known.generation,
                    uid: 0,
                },
                uids,
            )
            .await?;
        }
        Ok(())
    }

    async fn identify(
        &self,
        link: &mut Account,
        (mailbox, narrowing): ((&Mailbox, u32), &mut Narrowing),
        folder: Place,
        uids: &[u32],
        mut origin: impl FnMut(u32, ContentId) -> Origin,
    ) -> Result<(), AgentError> {
        let at_once = link.endpoint().meter.at_once(200);
        let mut bodies = Bodies::new(mailbox, narrowing, uids, at_once);
        let mut rows = Vec::new();
        while let Some(event) = bodies.next(link).await? {
            match event {
                BodyEvent::End => self.know(&std::mem::take(&mut rows))?,
                BodyEvent::Gone(_) => {}
                BodyEvent::Unreadable(uid, reason) => {
                    self.unreadable(Place { uid, ..folder }, &reason)?;
                }
                BodyEvent::Body(body) => {
                    self.progress.moved();
                    let content = ContentId::of(&body.octets);
                    rows.push(NewRow {
                        at: Place {
                            uid: body.uid,
                            ..folder
                        },
                        content,
                        size: length(&body.octets),
                        date: body.date,
                        flags: body.flags,
                        verified_at: Some(clock::now_s()),
                        origin: origin(body.uid, content),
                        member: None,
                    });
                }
            }
        }
        Ok(())
    }

    async fn fetch_into_store(
        &self,
        link: &mut Account,
        (mailbox, narrowing): ((&Mailbox, u32), &mut Narrowing),
        folder: Place,
        uids: &[u32],
    ) -> Result<(), AgentError> {
        let at_once = link.endpoint().meter.at_once(50);
        let mut bodies = Bodies::new(mailbox, narrowing, uids, at_once);
        let mut rows = Vec::new();
        while let Some(event) = bodies.next(link).await? {
            match event {
                BodyEvent::End => {
                    self.store.with(|store| Ok(store.commit()?)).await?;
                    self.know(&std::mem::take(&mut rows))?;
                }
                BodyEvent::Gone(_) => {}
                BodyEvent::Unreadable(uid, reason) => {
                    self.unreadable(Place { uid, ..folder }, &reason)?;
                }
                BodyEvent::Body(body) => {
                    self.progress.moved();
                    let size = length(&body.octets);
                    let octets = body.octets;
                    let put = self
                        .store
                        .with(move |store| Ok(store.put(&octets)?))
                        .await?;
                    rows.push(NewRow {
                        at: Place {
                            uid: body.uid,
                            ..folder
                        },
                        content: put.id,
                        size,
                        date: body.date,
                        flags: body.flags,
                        verified_at: Some(clock::now_s()),
                        origin: Origin::Foreign,
                        member: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// Notes what was read; what could not be read before is out of quarantine.
    fn know(&self, rows: &[NewRow]) -> Result<(), AgentError> {
        self.note_spent(0)?;
        let places: Vec<Place> = rows.iter().map(|row| row.at).collect();
        let mut ledger = self.ledger.borrow_mut();
        ledger.release(&places)?;
        Ok(ledger.add_rows(rows)?)
    }

    fn unreadable(&self, at: Place, reason: &str) -> Result<(), AgentError> {
        Ok(self
            .ledger
            .borrow_mut()
            .quarantine(at, Class::Quarantined, reason, clock::now_s())?)
    }

    /// Follows a rename: on the target where all that lies in the folder is ours, and in the ledger.
    ///
    /// # Errors
    /// The target refuses, or the ledger cannot be written.
    pub async fn rename(
        &self,
        rename: &Rename,
        view: &View,
        target: &mut Link,
    ) -> Result<(), AgentError> {
        let there = rename.now.or(rename.target);
        if let (Some(id), Some((name, folder))) = (
            rename.target,
            there.and_then(|there| self.by_id(there).ok()),
        ) {
            let from = &folder.mailbox;
            if name == rename.folder {
                // It bears the name, and only the ledger did not know.
                let mut ledger = self.ledger.borrow_mut();
                ledger.rename_folder(id, from.as_str(), &rename.folder)?;
            } else {
                let (prefix, none) = (self.prefix, BTreeMap::new());
                let text = new_name(&rename.folder, self.separator, prefix, &none, "").text;
                match self.rename_target(id, from, rename, &text, target).await {
                    // Only what was refused is tried again: of a cut connection nobody knows what it did.
                    Err(AgentError::Imap(error)) if error.kind == Kind::No => {
                        let escaped = without_dots(&text, self.separator).ok_or(error)?;
                        let again = self.rename_target(id, from, rename, &escaped, target);
                        again.await?;
                    }
                    other => other?,
                }
            }
        }
        let members: Vec<MemberId> = view
            .pairs
            .values()
            .filter_map(|pair| pair.source.as_ref())
            .filter(|side| side.folder == rename.from)
            .flat_map(|side| side.rows.values().chain(side.stale.values()))
            .filter_map(|row| row.member)
            .collect();
        let folder = rename.folder.clone();
        self.store
            .with(move |store| {
                for member in members {
                    store.record(Event::Move {
                        member,
                        folder: folder.clone(),
                    })?;
                }
                Ok(store.commit()?)
            })
            .await?;
        let (mailbox, _) = self.source_folder(&rename.folder)?;
        self.ledger
            .borrow_mut()
            .rename_folder(rename.from, mailbox.as_str(), &rename.folder)?;
        Ok(())
    }

    async fn rename_target(
        &self,
        id: FolderId,
        from: &Mailbox,
        rename: &Rename,
        text: &str,
        target: &mut Link,
    ) -> Result<(), AgentError> {
        let text = with_namespace(text, &self.namespace);
        let to = Mailbox::new(&wire::encode_utf7(&text)).ok_or_else(|| {
            AgentError::Config(format!(
                "folder '{}' has no name that the target could hold",
                rename.folder
            ))
        })?;
        self.ledger
            .borrow_mut()
            .begin_rename(id, to.as_str(), &rename.folder)?;
        kill::point("rename noted");
        target.rename_folder(from, &to).await?;
        kill::point("renamed");
        self.ledger
            .borrow_mut()
            .rename_folder(id, to.as_str(), &rename.folder)?;
        Ok(())
    }

    /// Fetches messages of the source again that the store has lost, octets or membership. How many it has again.
    ///
    /// # Errors
    /// The source cannot be read or the store not written.
    pub async fn refill(
        &self,
        lost: &[StoredRow],
        source: &mut Account,
    ) -> Result<u64, AgentError> {
        let mut by_folder: BTreeMap<FolderId, BTreeMap<u32, &StoredRow>> = BTreeMap::new();
        for row in lost {
            by_folder
                .entry(row.at.folder)
                .or_default()
                .insert(row.at.uid, row);
        }
        let mut refilled = 0;
        let mut narrowing = Narrowing::default();
        for (logical, (mailbox, known)) in &self.source_folders {
            let Some(rows) = by_folder.get(&known.id) else {
                continue;
            };
            let here = (mailbox, known.uidvalidity);
            source.open_listed(here.0, here.1).await?;
            let uids: Vec<u32> = rows.keys().copied().collect();
            let at_once = source.endpoint().meter.at_once(50);
            let mut bodies = Bodies::new(here, &mut narrowing, &uids, at_once);
            let mut repairs = Vec::new();
            while let Some(event) = bodies.next(source).await? {
                let body = match event {
                    BodyEvent::Body(body) => body,
                    BodyEvent::Gone(_) | BodyEvent::Unreadable(..) => continue,
                    BodyEvent::End => {
                        self.store.with(|store| Ok(store.commit()?)).await?;
                        refilled += u64::try_from(repairs.len()).unwrap_or(0);
                        let mut ledger = self.ledger.borrow_mut();
                        ledger.add_repairs(&std::mem::take(&mut repairs), clock::now_s())?;
                        continue;
                    }
                };
                let Some(row) = rows.get(&body.uid).filter(|r| {
                    r.at.generation == known.generation && r.content == ContentId::of(&body.octets)
                }) else {
                    continue;
                };
                self.progress.moved();
                let event = StoredRow::clone(row).into_add(self.triangle);
                let keep = move |store: &mut crate::store::Store| {
                    store.put(&body.octets)?;
                    Ok(store.record(event)?)
                };
                self.store.with(keep).await?;
                let (class, corner) = (Class::MissingInStore, Corner::Store);
                repairs.push((self.triangle, class, corner, logical.clone(), row.content));
            }
        }
        Ok(refilled)
    }
}

/// A name as servers take it that take no `.` although another character divides names; `None` without one.
fn without_dots(text: &str, separator: Option<char>) -> Option<String> {
    (text.contains('.') && separator != Some('.')).then(|| text.replace('.', "=2E"))
}
