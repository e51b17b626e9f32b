//! The same on real servers: two Dovecots, an account of its own for each case, the agent's program between them.

use std::sync::atomic::{AtomicU32, Ordering};

use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::judge::Judge;

use super::{Corners, FOLDERS, Mail, Tamper};
use crate::proof::walk;
use crate::site::{agent, configured_for};

/// The servers of all cases.
pub(super) struct Hosters {
    primary: Dovecot,
    standby: Dovecot,
    cases: AtomicU32,
}

impl Hosters {
    pub(super) fn start() -> Self {
        Self {
            primary: Dovecot::start(Options::default()).unwrap(),
            standby: Dovecot::start(Options::default()).unwrap(),
            cases: AtomicU32::new(0),
        }
    }
}

/// The accounts of one case.
pub(super) struct Real<'a> {
    hosters: &'a Hosters,
    user: String,
    dir: tempfile::TempDir,
    primary: Judge,
}

impl<'a> Real<'a> {
    pub(super) fn new(hosters: &'a Hosters) -> Self {
        let user = format!("case{}", hosters.cases.fetch_add(1, Ordering::Relaxed));
        let (primary, standby) = (hosters.primary.imap_port(), hosters.standby.imap_port());
        let dir = configured_for(primary, standby, &user);
        let mut primary = hosters.primary.judge(&user).unwrap();
        for folder in &FOLDERS[1..] {
            primary.create(folder).unwrap();
        }
        Self {
            hosters,
            user,
            dir,
            primary,
        }
    }

    fn standby(&self) -> Judge {
        self.hosters.standby.judge(&self.user).unwrap()
    }
}

/// The UID of a message; of twins that are alike in everything any will do.
fn uid(judge: &mut Judge, mail: &Mail) -> u32 {
    let flags: std::collections::BTreeSet<String> =
        mail.flags().into_iter().map(str::to_owned).collect();
    let messages = judge.messages(FOLDERS[mail.folder]).unwrap();
    let found = messages
        .iter()
        .find(|m| m.body == mail.octets() && m.internaldate == mail.date && m.flags == flags);
    found.unwrap_or_else(|| panic!("{mail:?} is not there")).uid
}

fn append(judge: &mut Judge, mail: &Mail) {
    let folder = FOLDERS[mail.folder];
    judge
        .append(folder, &mail.flags(), mail.date, &mail.octets())
        .unwrap();
}

impl Corners for Real<'_> {
    fn deliver(&mut self, mail: &Mail) {
        append(&mut self.primary, mail);
    }

    fn flag(&mut self, mail: &Mail, flags: u8) {
        let uid = uid(&mut self.primary, mail);
        let changed = Mail {
            flags,
            ..mail.clone()
        };
        let folder = FOLDERS[mail.folder];
        self.primary
            .store(folder, &[uid], "FLAGS", &changed.flags())
            .unwrap();
    }

    fn move_to(&mut self, mail: &Mail, folder: usize) {
        let uid = uid(&mut self.primary, mail);
        self.primary
            .move_to(FOLDERS[mail.folder], &[uid], FOLDERS[folder])
            .unwrap();
    }

    fn delete(&mut self, mail: &Mail) {
        let uid = uid(&mut self.primary, mail);
        self.primary.delete(FOLDERS[mail.folder], &[uid]).unwrap();
    }

    fn mirror(&mut self) {
        agent(self.dir.path(), &["mirror"]).exits(0);
    }

    fn tamper(&mut self, mail: &Mail, how: Tamper) {
        let mut standby = self.standby();
        let folder = FOLDERS[mail.folder];
        let uid = uid(&mut standby, mail);
        match how {
            Tamper::Delete => standby.delete(folder, &[uid]).unwrap(),
            Tamper::Double => append(&mut standby, mail),
            Tamper::Misplace(to) => standby.move_to(folder, &[uid], FOLDERS[to]).unwrap(),
            Tamper::Flag(other) => {
                let flags = Mail {
                    flags: mail.flags ^ other,
                    ..mail.clone()
                };
                standby
                    .store(folder, &[uid], "FLAGS", &flags.flags())
                    .unwrap();
            }
            Tamper::Date(later) => {
                append(
                    &mut standby,
                    &Mail {
                        date: mail.date + later,
                        ..mail.clone()
                    },
                );
                standby.delete(folder, &[uid]).unwrap();
            }
            Tamper::Alter => {
                standby.logout().unwrap();
                let number = format!("Nummer {:06}", mail.content);
                let holds = |path: &std::path::PathBuf| {
                    let octets = std::fs::read(path).unwrap();
                    octets
                        .windows(number.len())
                        .any(|window| window == number.as_bytes())
                };
                let files = walk(&self.hosters.standby.maildir(&self.user));
                let file = files.into_iter().find(holds).unwrap();
                let text = std::fs::read_to_string(&file).unwrap();
                let time = std::fs::metadata(&file).unwrap().modified().unwrap();
                std::fs::write(&file, text.replace("Nummer 0", "Nummer X")).unwrap();
                std::fs::File::open(&file)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
            }
        }
    }

    fn lose(&mut self, _: &Mail) -> bool {
        false
    }

    fn intrude(&mut self, mail: &Mail) {
        append(&mut self.standby(), mail);
    }

    fn differences(&mut self) -> Vec<String> {
        let said = agent(self.dir.path(), &["reconcile", "--depth", "content"]);
        assert!(matches!(said.code, 0 | 3), "{} {}", said.json, said.stderr);
        said.classes()
    }
}
