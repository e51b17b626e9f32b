//! Twenty-five kinds of tampering with the standby and the store. Each is found under its class and no other, as often
//! as it was done, at each depth that can see it; a depth that cannot says that it does not look there. Afterwards the
//! mirror mends what it may, the second run has nothing to send, and no copy is doubled.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::lab::daemon::until;
use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::judge::Judge;

use super::proof::walk;
use super::site::{Said, agent, configured_for, copy, fill, segments};

/// The servers of a group of cases, which follow one another.
struct Hosters {
    primary: Dovecot,
    standby: Dovecot,
}

/// A site with 6 messages in INBOX and 4 in Projekte, balanced, and what is to be done to it.
struct Case<'a> {
    hosters: &'a mut Hosters,
    user: String,
    dir: tempfile::TempDir,
}

/// What is done, and what has to be said of it.
struct Kind {
    name: &'static str,
    tamper: fn(&mut Case<'_>),
    /// What the depths `volume`, `ledger` and `content` find: count, class and corner.
    found: [&'static [Found]; 3],
    /// What of it `volume` and `ledger` do not look at, where they find nothing.
    unseen: [&'static str; 2],
    /// What `once` sends for it, and what stays a difference afterwards, for a person to look at.
    sends: u64,
    stays: &'static [Found],
}

type Found = (usize, &'static str);

const SEEN: [&str; 2] = ["", ""];

impl Case<'_> {
    fn agent(&self, args: &[&str]) -> Said {
        agent(self.dir.path(), args)
    }

    fn standby(&self) -> Judge {
        self.hosters.standby.judge(&self.user).unwrap()
    }

    fn primary(&self) -> Judge {
        self.hosters.primary.judge(&self.user).unwrap()
    }

    /// The file in which the standby keeps a message.
    fn file(&self, number: u32) -> PathBuf {
        let text = format!("Nummer {number}\n");
        let holds = |path: &PathBuf| {
            let octets = std::fs::read(path).unwrap();
            octets
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let files = walk(&self.hosters.standby.maildir(&self.user));
        files.into_iter().find(holds).unwrap()
    }

    /// A message as the standby has it.
    fn message(&self, folder: &str, at: usize) -> xtask::lab::judge::Judged {
        self.standby().messages(folder).unwrap().remove(at)
    }

    /// Another message in a message's place.
    fn replace(&self, at: usize, date: i64, octets: &[u8]) {
        let was = self.message("INBOX", at);
        let mut standby = self.standby();
        standby.append("INBOX", &[], date, octets).unwrap();
        standby.delete("INBOX", &[was.uid]).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("data/store")
    }
}

/// Writes octets in place of others; the file looks as it did.
fn rewrite(path: &Path, octets: &[u8]) {
    let time = std::fs::metadata(path).unwrap().modified().unwrap();
    std::fs::write(path, octets).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let (a, b) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    assert_eq!(a.len(), b.len());
    rewrite(one, &b);
    rewrite(other, &a);
}

fn flip(path: &Path, at: usize) {
    let mut octets = std::fs::read(path).unwrap();
    octets[at] ^= 1;
    rewrite(path, &octets);
}

/// Differences with how often each is there.
fn counted(said: &Said) -> Vec<(usize, String)> {
    let mut counts = BTreeMap::new();
    let all = said.triangle()["discrepancies"].as_array().unwrap();
    for (class, one) in said.classes().into_iter().zip(all) {
        assert!(one["messages"].as_u64().unwrap() > 0);
        *counts.entry(class).or_insert(0) += 1;
    }
    // A depth that names folders says of how many messages each speaks.
    if said.triangle()["depth"] == "volume" {
        counts.clear();
        for one in all {
            let class = format!(
                "{} {}",
                one["class"].as_str().unwrap(),
                one["corner"].as_str().unwrap()
            );
            let messages = usize::try_from(one["messages"].as_u64().unwrap()).unwrap();
            *counts.entry(class).or_insert(0) += messages;
        }
    }
    counts.into_iter().map(|(class, n)| (n, class)).collect()
}

fn expected(found: &[Found]) -> Vec<(usize, String)> {
    found.iter().map(|(n, c)| (*n, (*c).to_owned())).collect()
}

/// All copies of a standby by their octets, dates and places: none may be there more often than the primary has it,
/// but for what was put beside or by somebody else.
fn copies(judge: &mut Judge) -> BTreeMap<(String, Vec<u8>, i64), usize> {
    let mut counts = BTreeMap::new();
    for folder in judge.folders().unwrap() {
        let none = ["\\Noselect", "\\NonExistent"];
        if !folder.attributes.iter().any(|a| none.contains(&&**a)) {
            for message in judge.messages(&folder.name).unwrap() {
                *counts
                    .entry((folder.name.clone(), message.body, message.internaldate))
                    .or_insert(0) += 1;
            }
        }
    }
    counts
}

fn check(hosters: &mut Hosters, kind: &Kind) {
    let user = kind.name.to_lowercase().replace(' ', "-");
    let dir = configured_for(
        hosters.primary.imap_port(),
        hosters.standby.imap_port(),
        &user,
    );
    let mut primary = hosters.primary.judge(&user).unwrap();
    primary.create("Projekte").unwrap();
    fill(&mut primary, "INBOX", 1, 6);
    fill(&mut primary, "Projekte", 11, 4);
    let uids: Vec<u32> = primary
        .messages("INBOX")
        .unwrap()
        .iter()
        .map(|m| m.uid)
        .collect();
    primary
        .store("INBOX", &uids[4..5], "+FLAGS", &["\\Seen"])
        .unwrap();
    primary.logout().unwrap();
    let mut case = Case { hosters, user, dir };
    case.agent(&["once"]).exits(0);
    (kind.tamper)(&mut case);
    let before = copies(&mut case.standby());
    let name = kind.name;
    for (at, depth) in ["volume", "ledger", "content"].into_iter().enumerate() {
        if depth == "ledger" {
            // What was proved in this second is not read again in it.
            let second = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let now = second();
            let later = || Ok(second() > now);
            until(Duration::from_secs(5), "the next second", later).unwrap();
        }
        let said = case.agent(&["reconcile", "--depth", depth]);
        assert_eq!(
            counted(&said),
            expected(kind.found[at]),
            "{name}, {depth}: {:#}",
            said.triangle()["discrepancies"]
        );
        let nothing = kind.found[at].is_empty();
        assert_eq!(said.code, if nothing { 0 } else { 3 }, "{name}, {depth}");
        let unseen = said.triangle()["unseen_at_this_depth"].as_array().unwrap();
        let unseen: Vec<&str> = unseen.iter().map(|u| u.as_str().unwrap()).collect();
        let coverage = &said.triangle()["coverage"];
        let (read, of) = (&coverage["content_verified_now"], &coverage["messages"]);
        match depth {
            "content" => assert_eq!((&unseen[..], read), (&[][..], of), "{name}"),
            _ => {
                let what = kind.unseen[at];
                let seen_later = kind.found[2] != kind.found[at];
                assert!(what.is_empty() || nothing && seen_later, "{name}");
                assert!(
                    what.is_empty() || unseen.contains(&what),
                    "{name}: {unseen:?}"
                );
                assert!(what != "octets" || read.as_u64() < of.as_u64(), "{name}");
            }
        }
    }
    let code = if kind.stays.is_empty() { 0 } else { 3 };
    let said = case.agent(&["once"]).exits(code);
    assert_eq!(
        (said.sent(), counted(&said)),
        (kind.sends, expected(kind.stays)),
        "{name}: {:#}",
        said.triangle()
    );
    let after = copies(&mut case.standby());
    let again = case.agent(&["once"]).exits(code);
    assert_eq!(
        (again.sent(), counted(&again)),
        (0, expected(kind.stays)),
        "{name}: {:#}",
        again.triangle()
    );
    assert_eq!(again.repairs(), [""; 0], "{name}");
    // Nothing went, what was sent is there once, and the second run changed nothing.
    for (copy, count) in &before {
        assert!(after.get(copy) >= Some(count), "{name}");
    }
    let has = copies(&mut case.primary());
    for ((folder, octets, date), count) in &after {
        let was = before.get(&(folder.clone(), octets.clone(), *date));
        let on_primary = has.get(&(folder.clone(), octets.clone(), *date));
        assert!(Some(count) <= was.max(on_primary), "{name}: {folder}");
    }
    assert_eq!(copies(&mut case.standby()), after, "{name}");
    case.agent(&["store", "check"]).exits(0);
}

fn check_all(kinds: &[Kind]) {
    let mut hosters = Hosters {
        primary: Dovecot::start(Options::default()).unwrap(),
        standby: Dovecot::start(Options::default()).unwrap(),
    };
    // All of them are tried, whichever fails.
    let mut failed = Vec::new();
    for kind in kinds {
        let tried = AssertUnwindSafe(|| check(&mut hosters, kind));
        if catch_unwind(tried).is_err() {
            failed.push(kind.name);
        }
    }
    assert_eq!(failed, [""; 0]);
}

/// The altered copy stays beside the right one: nothing is ever deleted.
const BESIDE: &[Found] = &[(1, "foreign_at_standby standby")];
const ALTERED: [&[Found]; 3] = [&[], &[], &[(1, "altered standby")]];
const NOT_READ: [&str; 2] = ["octets", "octets"];

#[test]
fn octets_behind_their_uids() {
    check_all(&[
        Kind {
            name: "one byte flipped",
            tamper: |case| {
                let file = case.file(6);
                let length = std::fs::metadata(&file).unwrap().len();
                flip(&file, usize::try_from(length).unwrap() - 2);
            },
            found: ALTERED,
            unseen: NOT_READ,
            sends: 1,
            stays: BESIDE,
        },
        Kind {
            name: "a header rewritten",
            tamper: |case| {
                let file = case.file(5);
                let text = std::fs::read_to_string(&file).unwrap();
                rewrite(&file, text.replace("Subject: 5", "Subject: 9").as_bytes());
            },
            found: ALTERED,
            unseen: NOT_READ,
            sends: 1,
            stays: BESIDE,
        },
        // Both are there, each with the other's date.
        Kind {
            name: "two bodies swapped",
            tamper: |case| swap(&case.file(4), &case.file(6)),
            found: [&[], &[], &[(2, "date_differs standby")]],
            unseen: NOT_READ,
            sends: 0,
            stays: &[(2, "date_differs standby")],
        },
        Kind {
            name: "truncated in place",
            tamper: |case| {
                let file = case.file(6);
                let octets = std::fs::read(&file).unwrap();
                let rest = &octets[..octets.len() - 10];
                let lines = rest.iter().filter(|octet| **octet == b'\n').count();
                // Dovecot goes by the sizes in a file's name, and hangs up on whoever reads one that is shorter.
                let name = file.file_name().unwrap().to_str().unwrap();
                let (unique, sizes) = name.split_once(",S=").unwrap();
                let flags = sizes.find(':').map_or("", |colon| &sizes[colon..]);
                let sizes = format!(",S={},W={}", rest.len(), rest.len() + lines);
                let maildir = case.hosters.standby.maildir(&case.user);
                let list = maildir.join("dovecot-uidlist");
                let text = std::fs::read_to_string(&list).unwrap();
                let known = text
                    .split_whitespace()
                    .find(|w| w.contains(unique))
                    .unwrap();
                let renamed = format!(":{unique}{sizes}");
                std::fs::write(&list, text.replace(known, &renamed)).unwrap();
                let _ = std::fs::remove_file(maildir.join("dovecot.index.cache"));
                std::fs::remove_file(&file).unwrap();
                let cut = file.with_file_name(format!("{unique}{sizes}{flags}"));
                std::fs::write(&cut, rest).unwrap();
                let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_006);
                let file = std::fs::OpenOptions::new().write(true).open(cut).unwrap();
                file.set_modified(date).unwrap();
            },
            found: [&[(1, "altered standby")]; 3],
            unseen: SEEN,
            sends: 1,
            stays: BESIDE,
        },
    ]);
}

const MISSING: [&[Found]; 3] = [&[(1, "missing_at_standby standby")]; 3];
const FLAGS: [&[Found]; 3] = [
    &[],
    &[(1, "flags_differ standby")],
    &[(1, "flags_differ standby")],
];
const FOREIGN: [&[Found]; 3] = [&[(1, "foreign_at_standby standby")]; 3];

#[test]
fn messages_of_the_standby() {
    check_all(&[
        Kind {
            name: "deleted",
            tamper: |case| {
                let uid = case.message("INBOX", 2).uid;
                case.standby().delete("INBOX", &[uid]).unwrap();
            },
            found: MISSING,
            unseen: SEEN,
            sends: 1,
            stays: &[],
        },
        Kind {
            name: "a truncated copy in its place",
            tamper: |case| {
                let was = case.message("INBOX", 2);
                case.replace(2, was.internaldate, &was.body[..was.body.len() - 8]);
            },
            found: [
                &[(1, "altered standby")],
                &[
                    (1, "foreign_at_standby standby"),
                    (1, "missing_at_standby standby"),
                ],
                &[
                    (1, "foreign_at_standby standby"),
                    (1, "missing_at_standby standby"),
                ],
            ],
            unseen: SEEN,
            sends: 1,
            stays: FOREIGN[0],
        },
        Kind {
            name: "dated anew",
            tamper: |case| {
                let was = case.message("INBOX", 2);
                case.replace(2, was.internaldate + 86_400, &was.body);
            },
            found: [
                &[],
                &[(1, "date_differs standby")],
                &[(1, "date_differs standby")],
            ],
            unseen: ["dates", ""],
            sends: 0,
            stays: &[(1, "date_differs standby")],
        },
        Kind {
            name: "flag set",
            tamper: |case| {
                let uid = case.message("INBOX", 2).uid;
                let mut standby = case.standby();
                standby
                    .store("INBOX", &[uid], "+FLAGS", &["\\Flagged"])
                    .unwrap();
            },
            found: FLAGS,
            unseen: ["flags", ""],
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "flag cleared",
            tamper: |case| {
                let uid = case.message("INBOX", 4).uid;
                let mut standby = case.standby();
                standby
                    .store("INBOX", &[uid], "-FLAGS", &["\\Seen"])
                    .unwrap();
            },
            found: FLAGS,
            unseen: ["flags", ""],
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "keyword added",
            tamper: |case| {
                let uid = case.message("INBOX", 2).uid;
                let mut standby = case.standby();
                standby
                    .store("INBOX", &[uid], "+FLAGS", &["$Gelesen"])
                    .unwrap();
            },
            found: FLAGS,
            unseen: ["flags", ""],
            sends: 0,
            stays: &[],
        },
    ]);
}

#[test]
fn what_is_moved_or_put_there() {
    check_all(&[
        Kind {
            name: "moved",
            tamper: |case| {
                let uid = case.message("INBOX", 2).uid;
                case.standby().move_to("INBOX", &[uid], "Projekte").unwrap();
            },
            found: [
                &[
                    (1, "foreign_at_standby standby"),
                    (1, "missing_at_standby standby"),
                ],
                &[(1, "misplaced standby")],
                &[(1, "misplaced standby")],
            ],
            unseen: SEEN,
            sends: 0,
            stays: &[(1, "misplaced standby")],
        },
        Kind {
            name: "a foreign one added",
            tamper: |case| {
                let mut standby = case.standby();
                let octets = b"Subject: fremd\r\n\r\nx\r\n";
                standby.append("INBOX", &[], 1_700_000_000, octets).unwrap();
            },
            found: FOREIGN,
            unseen: SEEN,
            sends: 0,
            stays: FOREIGN[0],
        },
        Kind {
            name: "one doubled",
            tamper: |case| {
                let was = case.message("INBOX", 2);
                let mut standby = case.standby();
                standby
                    .append("INBOX", &[], was.internaldate, &was.body)
                    .unwrap();
            },
            found: [
                FOREIGN[0],
                &[(1, "duplicate standby")],
                &[(1, "duplicate standby")],
            ],
            unseen: SEEN,
            sends: 0,
            stays: &[(1, "duplicate standby")],
        },
        Kind {
            name: "a redirected one added",
            tamper: |case| {
                let was = case.message("INBOX", 2);
                let redirected = [b"Resent-From: a@b.example\r\n", &was.body[..]].concat();
                let mut standby = case.standby();
                standby
                    .append("INBOX", &[], was.internaldate, &redirected)
                    .unwrap();
            },
            found: FOREIGN,
            unseen: SEEN,
            sends: 0,
            stays: FOREIGN[0],
        },
        // As many messages and as many octets, but another one.
        Kind {
            name: "one exchanged",
            tamper: |case| {
                let was = case.message("INBOX", 2);
                let text = String::from_utf8(was.body).unwrap();
                let other = text.replace("Nummer 3", "Betrug 3").replace("<3@", "<7@");
                case.replace(2, was.internaldate, other.as_bytes());
            },
            found: [
                &[],
                &[
                    (1, "foreign_at_standby standby"),
                    (1, "missing_at_standby standby"),
                ],
                &[
                    (1, "foreign_at_standby standby"),
                    (1, "missing_at_standby standby"),
                ],
            ],
            unseen: ["messages", ""],
            sends: 1,
            stays: FOREIGN[0],
        },
    ]);
}

#[test]
fn folders_of_the_standby() {
    const FOUR: [&[Found]; 3] = [&[(4, "missing_at_standby standby")]; 3];
    const NOTHING: [&[Found]; 3] = [&[]; 3];
    check_all(&[
        Kind {
            name: "a folder emptied",
            tamper: |case| {
                let mut standby = case.standby();
                let uids: Vec<u32> = standby
                    .messages("Projekte")
                    .unwrap()
                    .iter()
                    .map(|m| m.uid)
                    .collect();
                standby.delete("Projekte", &uids).unwrap();
            },
            found: FOUR,
            unseen: SEEN,
            sends: 4,
            stays: &[],
        },
        Kind {
            name: "a folder deleted",
            tamper: |case| case.standby().delete_folder("Projekte").unwrap(),
            found: FOUR,
            unseen: SEEN,
            sends: 4,
            stays: &[],
        },
        Kind {
            name: "a folder renamed",
            tamper: |case| case.standby().rename("Projekte", "Vorhaben").unwrap(),
            found: [
                &[
                    (4, "foreign_at_standby standby"),
                    (4, "missing_at_standby standby"),
                ],
                &[(4, "misplaced standby")],
                &[(4, "misplaced standby")],
            ],
            unseen: SEEN,
            sends: 0,
            stays: &[(4, "misplaced standby")],
        },
        Kind {
            name: "new UIDs",
            tamper: |case| {
                let user = case.user.clone();
                let inbox = xtask::lab::corpus::Place::Inbox;
                case.hosters
                    .standby
                    .renew_uidvalidity(&user, &inbox)
                    .unwrap();
            },
            found: NOTHING,
            unseen: SEEN,
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "an older mailbox",
            tamper: |case| {
                let user = case.user.clone();
                let backup = case.hosters.standby.backup(&user).unwrap();
                fill(&mut case.primary(), "INBOX", 31, 3);
                case.agent(&["once"]).exits(0);
                case.hosters.standby.restore(&backup).unwrap();
            },
            found: [&[(3, "missing_at_standby standby")]; 3],
            unseen: SEEN,
            sends: 3,
            stays: &[],
        },
        Kind {
            name: "another standby",
            tamper: |case| {
                let maildir = case.hosters.standby.maildir(&case.user);
                case.hosters.standby.stop();
                std::fs::remove_dir_all(maildir).unwrap();
                case.hosters.standby.restart().unwrap();
            },
            found: [&[(10, "missing_at_standby standby")]; 3],
            unseen: SEEN,
            sends: 10,
            stays: &[],
        },
    ]);
}

#[test]
fn the_store() {
    const ALL: [&[Found]; 3] = [&[(10, "missing_in_store store")]; 3];
    const ONE: [&[Found]; 3] = [
        &[],
        &[(1, "missing_in_store store")],
        &[(1, "missing_in_store store")],
    ];
    check_all(&[
        Kind {
            name: "a segment dropped",
            tamper: |case| std::fs::remove_file(&segments(case.dir.path())[0]).unwrap(),
            found: ALL,
            unseen: SEEN,
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "a byte flipped in a segment",
            // Frames begin at 4,096; the messages come before the membership.
            tamper: |case| {
                let path = &segments(case.dir.path())[0];
                let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
                flip(path, 4096 + (length - 4096) / 3);
            },
            found: ONE,
            unseen: ["octets", ""],
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "a segment truncated",
            tamper: |case| {
                let path = segments(case.dir.path()).remove(0);
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(4096 + 20).unwrap();
            },
            found: ALL,
            unseen: SEEN,
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "an older store",
            tamper: |case| {
                let kept = case.dir.path().join("kept");
                copy(&case.store(), &kept);
                let mut primary = case.primary();
                fill(&mut primary, "INBOX", 31, 3);
                let uid = primary.messages("INBOX").unwrap()[1].uid;
                primary
                    .store("INBOX", &[uid], "+FLAGS", &["\\Flagged"])
                    .unwrap();
                case.agent(&["once"]).exits(0);
                std::fs::remove_dir_all(case.store()).unwrap();
                copy(&kept, &case.store());
            },
            found: [
                &[(3, "missing_in_store store")],
                &[(1, "flags_differ store"), (3, "missing_in_store store")],
                &[(1, "flags_differ store"), (3, "missing_in_store store")],
            ],
            unseen: SEEN,
            sends: 0,
            stays: &[],
        },
        Kind {
            name: "the index lost",
            tamper: |case| {
                for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
                    let _ = std::fs::remove_file(case.store().join(name));
                }
            },
            found: [&[]; 3],
            unseen: SEEN,
            sends: 0,
            stays: &[],
        },
    ]);
}
