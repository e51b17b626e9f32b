//! Corners in memory: what a mirror would have made of them, and the comparison alone.

use maildreieck_agent::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder};
use maildreieck_agent::plan::reconcile::{self, Entry, Explanations, Gone};
use maildreieck_api_spec::vocabulary::Depth;

use super::{Corners, FOLDERS, Mail, Tamper};

/// A message of an account.
#[derive(Debug, Clone)]
struct Lies {
    mail: Mail,
    uid: u32,
}

/// A message that the mirror knows.
#[derive(Debug, Clone)]
struct Known {
    /// Where it lies on the primary, and with what flags when it was mirrored last.
    primary: Lies,
    /// The copy's UID on the standby.
    copy: u32,
    stored: Option<Mail>,
}

/// The corners, and what the ledger knows of them.
#[derive(Debug, Default)]
pub(super) struct Modelled {
    primary: Vec<Lies>,
    standby: Vec<Lies>,
    known: Vec<Known>,
    tombstones: Vec<(usize, u32)>,
    uid: u32,
}

impl Modelled {
    fn next(&mut self) -> u32 {
        self.uid += 1;
        self.uid
    }

    fn on_primary(&mut self, mail: &Mail) -> &mut Lies {
        self.primary
            .iter_mut()
            .find(|lies| lies.mail == *mail)
            .unwrap()
    }

    fn copy(&mut self, mail: &Mail) -> &mut Lies {
        let known = self
            .known
            .iter()
            .find(|known| known.primary.mail == *mail)
            .unwrap();
        let copy = known.copy;
        self.standby
            .iter_mut()
            .find(|lies| lies.uid == copy)
            .unwrap()
    }
}

impl Corners for Modelled {
    fn deliver(&mut self, mail: &Mail) {
        let uid = self.next();
        self.primary.push(Lies {
            mail: mail.clone(),
            uid,
        });
    }

    fn flag(&mut self, mail: &Mail, flags: u8) {
        self.on_primary(mail).mail.flags = flags;
    }

    fn move_to(&mut self, mail: &Mail, folder: usize) {
        let uid = self.next();
        let lies = self.on_primary(mail);
        lies.mail.folder = folder;
        lies.uid = uid;
    }

    fn delete(&mut self, mail: &Mail) {
        let at = self
            .primary
            .iter()
            .position(|lies| lies.mail == *mail)
            .unwrap();
        self.primary.remove(at);
    }

    /// What is gone under its UID and there under another has moved, or came back; what is gone altogether is buried.
    fn mirror(&mut self) {
        let mut known = std::mem::take(&mut self.known);
        let there = |uid: u32, lies: &[Lies]| lies.iter().any(|l| l.uid == uid);
        let new = |known: &[Known], lies: &Lies| known.iter().all(|k| k.primary.uid != lies.uid);
        let mut vanished: Vec<Known> = Vec::new();
        known.retain(|k| {
            let stays = there(k.primary.uid, &self.primary);
            if !stays {
                vanished.push(k.clone());
            }
            stays
        });
        for lies in &self.primary.clone() {
            if let Some(k) = known.iter_mut().find(|k| k.primary.uid == lies.uid) {
                let copy = self.standby.iter_mut().find(|l| l.uid == k.copy).unwrap();
                copy.mail.flags = lies.mail.flags;
                k.stored = Some(lies.mail.clone());
                k.primary = lies.clone();
                continue;
            }
            if !new(&known, lies) {
                continue;
            }
            let same =
                |mail: &Mail| (mail.content, mail.date) == (lies.mail.content, lies.mail.date);
            let moved = vanished.iter().position(|k| same(&k.primary.mail));
            let uid = self.next();
            if let Some(moved) = moved {
                let k = vanished.remove(moved);
                self.standby.retain(|l| l.uid != k.copy);
            }
            self.standby.push(Lies {
                mail: lies.mail.clone(),
                uid,
            });
            known.push(Known {
                primary: lies.clone(),
                copy: uid,
                stored: Some(lies.mail.clone()),
            });
        }
        let buried = vanished
            .iter()
            .map(|k| (k.primary.mail.folder, k.primary.mail.content));
        self.tombstones.extend(buried);
        self.known = known;
    }

    fn tamper(&mut self, mail: &Mail, how: Tamper) {
        let uid = self.next();
        let copy = self.copy(mail);
        match how {
            Tamper::Delete => {
                let gone = copy.uid;
                self.standby.retain(|lies| lies.uid != gone);
            }
            Tamper::Double => {
                let twin = Lies {
                    uid,
                    ..copy.clone()
                };
                self.standby.push(twin);
            }
            Tamper::Misplace(folder) => {
                copy.mail.folder = folder;
                copy.uid = uid;
            }
            Tamper::Flag(other) => copy.mail.flags ^= other,
            Tamper::Date(later) => {
                copy.mail.date += later;
                copy.uid = uid;
            }
            Tamper::Alter => copy.mail.content += 1_000_000,
        }
    }

    fn lose(&mut self, mail: &Mail) -> bool {
        let known = self.known.iter_mut();
        let mut of_mail = known.filter(|known| known.primary.mail == *mail);
        of_mail.next().unwrap().stored = None;
        true
    }

    fn intrude(&mut self, mail: &Mail) {
        let uid = self.next();
        self.standby.push(Lies {
            mail: mail.clone(),
            uid,
        });
    }

    fn differences(&mut self) -> Vec<String> {
        let of = |mail: &Mail, uid| Entry {
            folder: LogicalFolder::from_stored(FOLDERS[mail.folder]),
            content: ContentId::of(&mail.octets()),
            date: InternalDate(mail.date),
            flags: Flags::from_words(mail.flags()),
            size: u32::try_from(mail.octets().len()).unwrap(),
            uid,
            copy: None,
            late: false,
            gone: None,
            preexisting: false,
            quarantine: None,
            verified_at: None,
        };
        let known = |uid: u32| self.known.iter().find(|k| k.primary.uid == uid);
        let mut primary: Vec<Entry> = self
            .primary
            .iter()
            .map(|lies| Entry {
                copy: known(lies.uid).map(|k| k.copy),
                ..of(&lies.mail, lies.uid)
            })
            .collect();
        let there = |uid| self.primary.iter().any(|lies| lies.uid == uid);
        let gone = self.known.iter().filter(|k| !there(k.primary.uid));
        primary.extend(gone.map(|k| Entry {
            gone: Some(Gone::Before { ordinary: true }),
            copy: Some(k.copy),
            ..of(&k.primary.mail, k.primary.uid)
        }));
        let stored = self.known.iter().filter_map(|k| k.stored.as_ref());
        let mut corners = reconcile::Corners {
            primary,
            standby: self
                .standby
                .iter()
                .map(|lies| of(&lies.mail, lies.uid))
                .collect(),
            store: stored.map(|mail| of(mail, 0)).collect(),
        };
        let buried = |(folder, content): &(usize, u32)| {
            let mail = Mail {
                folder: *folder,
                content: *content,
                date: 0,
                flags: 0,
            };
            let entry = of(&mail, 0);
            (entry.folder, entry.content, false)
        };
        let explanations = Explanations {
            tombstones: self.tombstones.iter().map(buried).collect(),
            ..Explanations::default()
        };
        let found = corners.compare(&explanations, Depth::Ledger);
        let said = |d: &reconcile::Difference| {
            assert_eq!(d.against, None);
            let said = format!("{} {}", d.class, d.corner);
            if d.reason.is_some() {
                format!("({said})")
            } else {
                said
            }
        };
        let mut said: Vec<String> = found.iter().map(said).collect();
        said.sort();
        said
    }
}
