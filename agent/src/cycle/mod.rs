//! One cycle of a triangle, from looking to reporting. It owns the order of things and nothing else:
//! looking is `snapshot`'s, deciding is `plan`'s, doing is `execute`'s.

mod budget;
mod duty;
mod in_step;
mod itself;
mod mirror;
mod remember;
mod room;
pub mod run;
mod steady;
pub mod tx;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::Corner;

use self::steady::Looks;
use crate::account::Account;
use crate::clock;
use crate::config::{Clients, Config, TriangleConfig};
use crate::error::AgentError;
use crate::execute::{Execution, SharedStore, Spares};
use crate::identity::IdentityFiles;
use crate::imap::{Endpoint, LONGEST_BACK_OFF, QuotaLeft, Shapes};
use crate::kill;
use crate::ledger::{Batch, Ledger, StoredRow};
use crate::plan::identity::{LogicalFolder, MemberId};
use crate::plan::names::excluded;
use crate::plan::room::Room;
use crate::pop::{self, Numbered};
use crate::progress::Progress;
use crate::report::RefusedFolder;
use crate::report::chain::Chain;
use crate::snapshot::{self, Choice, Cut, Seen, TargetFolder, stands};
use crate::store::{Store, StoreKey};

/// How often the folders are listed anew at most, where one that was listed is gone when it is looked at.
const LOOKS: u32 = 4;

/// What the agent works with on its site: ledger and store, opened once.
pub struct Site {
    ledger: RefCell<Ledger>,
    store: SharedStore,
    report_key: [u8; 32],
    identity: IdentityFiles,
    chain: Chain,
    progress: Progress,
    /// What the mirror that runs, or ran last, has sent.
    sent: Cell<Volume>,
    /// What has been warned of, and is not again.
    warned: RefCell<BTreeSet<String>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Site {
    /// Opens data folder, ledger and store of a configuration.
    ///
    /// # Errors
    /// The folder cannot be made or written, the key is missing or wrong, or another agent has the store.
    pub fn open(config: &Config, quiet: bool) -> Result<Self, AgentError> {
        config.prepare_data_dir().map_err(AgentError::config)?;
        let key = StoreKey::for_store(&config.store_key_file, &config.store_dir())?;
        let store = Store::open(&config.store_dir(), &key)?;
        let ledger = Ledger::open(&config.ledger_path())?;
        Ok(Self {
            ledger: RefCell::new(ledger),
            store: SharedStore::new(store),
            report_key: key.report_key(),
            identity: IdentityFiles::new(&config.data_dir),
            chain: Chain::new(&config.data_dir),
            progress: Progress::new(quiet),
            sent: Cell::default(),
            warned: RefCell::default(),
            stop: tokio::sync::watch::Sender::new(false),
        })
    }

    /// Tells what is going on to end: what is being sent is brought to its end, all else is given up.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What may be given up at any moment, until somebody says [`Self::stop`].
    async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Err(AgentError::Interrupted),
            done = work => done,
        }
    }

    /// Gives the messages of a maildrop their UIDs. The store tells those that a newer ledger has given to others.
    fn number(&self, triangle: &str, place: &str, uidls: &[&[u8]]) -> Result<Numbered, AgentError> {
        let mut ledger = self.ledger.borrow_mut();
        let known = ledger.folder(triangle, Corner::Primary, pop::INBOX)?;
        let generation = known.map_or(1, |known| known.generation);
        let store = self.store.lock();
        let taken = |uidvalidity, uid| {
            let member = MemberId::of(triangle, pop::INBOX, uidvalidity, generation, uid);
            Ok(store.knows(&member)?)
        };
        ledger.number(triangle, place, uidls, clock::now_s(), taken)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &RefCell<Ledger> {
        &self.ledger
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The progress that is shown.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What the last mirror has sent, also one that failed.
    #[must_use]
    pub fn sent(&self) -> Volume {
        self.sent.get()
    }

    /// The certificates of this site.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key of hashes in reports.
    #[must_use]
    pub fn report_key(&self) -> &[u8; 32] {
        &self.report_key
    }
}

/// Both accounts of a triangle, connected.
struct Round<'a> {
    site: &'a Site,
    triangle: &'a TriangleConfig,
    source_link: Account,
    target_link: Account,
    target_endpoint: Arc<Endpoint>,
    spares: Rc<Spares>,
    /// Whether nothing has been mirrored yet, and nothing looked at.
    first: bool,
    source: Seen,
    target: Seen,
    batches: Vec<Batch>,
    shapes: Shapes,
    careful: bool,
    /// Whether mail waits for a budget: what is not known then is pending.
    short: bool,
    /// What the target has room for, and whether it has been asked since something was sent there.
    room: Room,
    room_is_told: bool,
    /// What was left of the target's quota when its folders were listed, until that is made use of.
    quota: Option<QuotaLeft>,
    /// What the store lacks and the primary's budget has no room for.
    unfilled: Vec<StoredRow>,
    epoch: u32,
    /// Where each folder stood when this round began.
    cut: Cut,
    looks: Looks,
}

impl<'a> Round<'a> {
    /// Connects both accounts and lists what changed, or everything.
    async fn look(
        site: &'a Site,
        triangle: &'a TriangleConfig,
        all: bool,
    ) -> Result<Self, AgentError> {
        let source_endpoint = Arc::new(
            triangle
                .primary
                .endpoint(Corner::Primary)
                .map_err(AgentError::config)?,
        );
        let target_endpoint = Arc::new(
            triangle
                .standby
                .endpoint(Corner::Standby)
                .map_err(AgentError::config)?,
        );
        let longest_s = i64::try_from(LONGEST_BACK_OFF.as_secs()).unwrap_or(i64::MAX);
        {
            let mut ledger = site.ledger.borrow_mut();
            ledger.mind_clock(clock::now_s(), longest_s)?;
        }
        site.may_ask(&source_endpoint)?;
        site.may_ask(&target_endpoint)?;
        let (source_link, target_link) = tokio::try_join!(
            Account::open(source_endpoint),
            Account::open(Arc::clone(&target_endpoint))
        )?;
        let empty = |corner| Seen {
            corner,
            separator: None,
            namespace: String::new(),
            folders: BTreeMap::new(),
            left_out: Vec::new(),
            closed: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        let epoch = {
            let mut ledger = site.ledger.borrow_mut();
            let epoch = ledger.triangle(&triangle.name)?.epoch;
            // Both have let us in: it is no slip of the pen that would be forgotten for.
            let place = format!("{} {}", target_endpoint.account(), triangle.standby_prefix);
            if ledger.standby_is_at(&triangle.name, &place)? {
                tracing::warn!(
                    triangle = triangle.name,
                    "the standby is another account or prefix than before: what it holds is matched by content, the rest is sent"
                );
            }
            epoch
        };
        let mut round = Self {
            site,
            triangle,
            source_link,
            target_link,
            target_endpoint,
            spares: Rc::default(),
            first: false,
            source: empty(Corner::Primary),
            target: empty(Corner::Standby),
            batches: Vec::new(),
            shapes: Rc::default(),
            careful: false,
            short: false,
            room: Room::default(),
            room_is_told: false,
            quota: None,
            unfilled: Vec::new(),
            epoch,
            cut: Cut::default(),
            looks: Looks::default(),
        };
        let known = {
            let mut ledger = site.ledger.borrow_mut();
            ledger.count_messages(&triangle.name, Corner::Primary.as_str())?
        };
        round.first = !all && known == 0;
        round.look_again(all).await?;
        Ok(round)
    }

    fn choice(&self) -> Choice<'a> {
        Choice {
            triangle: &self.triangle.name,
            standby_prefix: &self.triangle.standby_prefix,
            exclude: &self.triangle.exclude_folders,
            pop_delete: self.triangle.primary.clients == Clients::PopDelete,
            primary: self.triangle.primary.protocol,
        }
    }

    /// Looks at both accounts anew. Where a folder that was listed is not there a moment later, the list is of no use
    /// any more: what it was renamed to is not on it.
    async fn look_again(&mut self, all: bool) -> Result<(), AgentError> {
        for _ in 0..LOOKS {
            self.look_once(all).await?;
            let mut refused = self.source.refused().chain(self.target.refused());
            if !refused.any(|(_, refusal)| refusal.says_it_is_not_there()) {
                break;
            }
        }
        Ok(())
    }

    async fn look_once(&mut self, all: bool) -> Result<(), AgentError> {
        let choice = self.choice();
        let place = self.source_link.endpoint().account();
        let number = |uidls: &[&[u8]]| self.site.number(choice.triangle, &place, uidls);
        let target = async {
            let link = self.target_link.imap()?;
            // A proof sends nothing.
            Ok(if all {
                link.folders().await?
            } else {
                link.folders_and_quota().await?
            })
        };
        let (source, target) = tokio::try_join!(self.source_link.folders(number), target)?;
        kill::point("folders listed");
        self.looks.steady = false;
        self.refuse_itself(&source, &target).await?;
        {
            let mut ledger = self.site.ledger.borrow_mut();
            self.batches = ledger.batches_in_doubt(choice.triangle)?;
            let listed = |name: &str| target.all.keys().any(|m| m.as_str() == name);
            ledger.end_renames(choice.triangle, Corner::Standby, listed)?;
            self.source = snapshot::seen(&source, &mut ledger, choice, Corner::Primary)?;
            self.target = snapshot::seen(&target, &mut ledger, choice, Corner::Standby)?;
        }
        self.quota = Some(target.left);
        self.cut = Cut {
            primary: stands(&self.source),
            standby: stands(&self.target),
            shown: BTreeMap::new(),
        };
        if std::mem::take(&mut self.first) {
            let folders = self.source.folders.values();
            let messages = folders.filter_map(|f| usize::try_from(f.status?.messages).ok());
            let writers = Execution::writers_for(messages.sum(), 0, self.writers());
            self.spares.open(&self.target_endpoint, writers);
        }
        let (batches, ledger) = (&self.batches, &self.site.ledger);
        tokio::try_join!(
            snapshot::list(
                &mut self.source_link,
                &mut self.source,
                all,
                batches,
                ledger
            ),
            snapshot::list(
                &mut self.target_link,
                &mut self.target,
                all,
                batches,
                ledger
            ),
        )?;
        kill::point("looked");
        Ok(())
    }

    /// Looks anew at the folders of the target that were written to.
    async fn look_at_written(
        &mut self,
        touched: &BTreeSet<LogicalFolder>,
        mut folders: BTreeMap<LogicalFolder, TargetFolder>,
    ) -> Result<(), AgentError> {
        folders.retain(|name, _| touched.contains(name));
        let name = &self.triangle.name;
        self.batches = self.site.ledger.borrow_mut().batches_in_doubt(name)?;
        let (link, target) = (&mut self.target_link, &mut self.target);
        snapshot::list_written(link, target, folders, &self.batches, &self.site.ledger).await
    }

    /// Looks anew at folders of the target, and which there are.
    async fn look_at_target(
        &mut self,
        which: impl Fn(&LogicalFolder) -> bool,
    ) -> Result<(), AgentError> {
        let folders = self.target_link.imap()?.folders().await?;
        let mut target = {
            let mut ledger = self.site.ledger.borrow_mut();
            self.batches = ledger.batches_in_doubt(&self.triangle.name)?;
            snapshot::seen(&folders, &mut ledger, self.choice(), Corner::Standby)?
        };
        // What is not looked at keeps the listing it has; only the rest is listed now.
        let mut kept = BTreeMap::new();
        for (name, folder) in std::mem::take(&mut target.folders) {
            if which(&name) {
                target.folders.insert(name, folder);
            } else {
                let earlier = self.target.folders.remove(&name);
                kept.insert(name, earlier.unwrap_or(folder));
            }
        }
        snapshot::list(
            &mut self.target_link,
            &mut target,
            true,
            &self.batches,
            &self.site.ledger,
        )
        .await?;
        target.folders.append(&mut kept);
        self.target = target;
        Ok(())
    }

    /// The folders that nothing was decided about: those that their servers refuse, and those that cannot be
    /// judged without them.
    fn refused(&self) -> Vec<RefusedFolder> {
        let mut refused = Vec::new();
        for seen in [&self.source, &self.target] {
            refused.extend(seen.refused().map(|(folder, refusal)| RefusedFolder {
                folder: folder.to_string(),
                corner: seen.corner,
                detail: format!("{} was refused: {}", refusal.command, refusal.text),
            }));
        }
        let names: BTreeSet<&LogicalFolder> = [&self.source, &self.target]
            .iter()
            .flat_map(|seen| seen.refused().map(|(folder, _)| folder))
            .collect();
        let linked = self.target.closed.keys().filter(|f| !names.contains(f));
        refused.extend(linked.map(|folder| RefusedFolder {
            folder: folder.to_string(),
            corner: self.target.corner,
            detail: "copies of its mail lie in a folder that is refused".to_owned(),
        }));
        refused
    }

    /// Says in the log which folders are refused.
    fn warn_of(&self, refused: &[RefusedFolder]) {
        for folder in refused {
            tracing::warn!(
                triangle = self.triangle.name,
                corner = %folder.corner,
                reason = folder.detail,
                "a folder is listed and cannot be looked at; it is left as it is, the others go on"
            );
        }
    }

    /// Says in the log which of the folders that are to be left out the primary does not have: once.
    fn warn_of_exclusions(&self) {
        let out = |rule: &String| {
            let rule = std::slice::from_ref(rule);
            let mut left_out = self.source.left_out.iter();
            left_out.any(|(folder, _)| excluded(folder, rule))
        };
        for rule in self
            .triangle
            .exclude_folders
            .iter()
            .filter(|rule| !out(rule))
        {
            let text = format!("{} {rule}", self.triangle.name);
            if self.site.warned.borrow_mut().insert(text) {
                tracing::info!(
                    triangle = self.triangle.name,
                    folder = rule,
                    "exclude_folders names a folder that the primary does not have: check how it is written"
                );
            }
        }
    }

    /// How many connections write, besides the one that looks.
    fn writers(&self) -> usize {
        let all = usize::from(self.triangle.standby.max_connections);
        all.saturating_sub(1).max(1)
    }

    fn execution(&self) -> Execution<'a> {
        let source_folders = self
            .source
            .folders
            .iter()
            .map(|(n, f)| (n.clone(), (f.mailbox.clone(), f.known.clone())))
            .collect();
        Execution {
            triangle: &self.triangle.name,
            epoch: self.epoch,
            ledger: &self.site.ledger,
            store: self.site.store.clone(),
            source_endpoint: Arc::clone(self.source_link.endpoint()),
            target_endpoint: Arc::clone(&self.target_endpoint),
            writers: self.writers(),
            spares: Rc::clone(&self.spares),
            folders: RefCell::new(self.target.target_folders()),
            source_separator: self.source.separator,
            separator: self.target.separator,
            prefix: &self.triangle.standby_prefix,
            source_folders,
            namespace: self.target.namespace.clone(),
            taken: RefCell::new(self.target.taken.clone()),
            shapes: Rc::clone(&self.shapes),
            compresses: Cell::new(false),
            begun: Cell::new(false),
            careful: self.careful,
            room: self.room.clone(),
            target_corner: Corner::Standby,
            progress: &self.site.progress,
            sent: &self.site.sent,
            stop: self.site.stop.subscribe(),
        }
    }

    async fn end(self) {
        tokio::join!(
            self.source_link.logout(),
            self.target_link.logout(),
            self.spares.close()
        );
    }
}
