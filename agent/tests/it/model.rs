//! The model against the proof: a random history on the primary, mirrored now and then, then differences of random
//! classes planted in the corners, and a proof that must name exactly those. One driver, on modelled corners and on
//! real servers.
//!
//! Twins, messages with equal octets, are everywhere in the history; planted is only where a message has none, so that
//! what must be said is never in doubt. `MAILDREIECK_LONG` runs as many cases as a release wants.

mod modelled;
mod real;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::modelled::Modelled;
use self::real::{Hosters, Real};

/// The folders of the accounts.
const FOLDERS: [&str; 3] = ["INBOX", "Projekte", "Archiv"];

/// A message as both sides of the test speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mail {
    folder: usize,
    /// Which octets: equal numbers are equal messages.
    content: u32,
    /// INTERNALDATE, seconds since 1970.
    date: i64,
    /// Of `\Seen`, `\Flagged` and a keyword.
    flags: u8,
}

impl Mail {
    fn flags(&self) -> Vec<&'static str> {
        let words = ["\\Seen", "\\Flagged", "$Beleg"];
        let set =
            |(bit, word): (usize, &'static str)| (self.flags & (1 << bit) != 0).then_some(word);
        words.into_iter().enumerate().filter_map(set).collect()
    }

    fn octets(&self) -> Vec<u8> {
        let number = self.content;
        format!(
            "Message-ID: <{number}@abc.example>\r\nSubject: {number}\r\n\r\nNummer {number:06}\r\n"
        )
        .into_bytes()
    }
}

/// Three corners that the driver can change.
trait Corners {
    /// Arrives on the primary.
    fn deliver(&mut self, mail: &Mail);
    /// The primary's flags change.
    fn flag(&mut self, mail: &Mail, flags: u8);
    /// Moved on the primary.
    fn move_to(&mut self, mail: &Mail, folder: usize);
    /// Expunged on the primary.
    fn delete(&mut self, mail: &Mail);
    /// A mirror run.
    fn mirror(&mut self);
    /// Something is done to the standby's copy.
    fn tamper(&mut self, mail: &Mail, how: Tamper);
    /// The store loses a message; `false` where that cannot be done to one message alone.
    fn lose(&mut self, mail: &Mail) -> bool;
    /// Somebody else's mail comes to the standby.
    fn intrude(&mut self, mail: &Mail);
    /// The classes that a proof finds, each with its corner, explained ones in brackets; sorted.
    fn differences(&mut self) -> Vec<String>;
}

/// What is done to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tamper {
    Delete,
    Double,
    Misplace(usize),
    Flag(u8),
    Date(i64),
    /// Other octets behind the same UID.
    Alter,
}

/// One step of a history; numbers choose among what is there.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deliver {
        folder: usize,
        date: i64,
        flags: u8,
    },
    Twin {
        which: usize,
        folder: usize,
        flags: u8,
    },
    Flag {
        which: usize,
        flags: u8,
    },
    Move {
        which: usize,
        folder: usize,
    },
    Delete {
        which: usize,
    },
    Mirror,
}

/// One difference that is planted.
#[derive(Debug, Clone, Copy)]
enum Plant {
    Copy(Tamper),
    Intruder { folder: usize },
    Unmirrored { folder: usize },
    Vanished,
    Moved(usize),
    Flagged(u8),
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let folder = || 0..FOLDERS.len();
    let date = || 1_600_000_000_i64..1_600_000_100;
    prop_oneof![
        6 => (folder(), date(), 0_u8..8).prop_map(|(folder, date, flags)| Step::Deliver { folder, date, flags }),
        2 => (any::<usize>(), folder(), 0_u8..8)
            .prop_map(|(which, folder, flags)| Step::Twin { which, folder, flags }),
        2 => (any::<usize>(), 0_u8..8).prop_map(|(which, flags)| Step::Flag { which, flags }),
        2 => (any::<usize>(), folder()).prop_map(|(which, folder)| Step::Move { which, folder }),
        1 => any::<usize>().prop_map(|which| Step::Delete { which }),
        1 => Just(Step::Mirror),
    ]
}

fn plant() -> impl Strategy<Value = (usize, Plant)> {
    let folder = || 0..FOLDERS.len();
    let plant = prop_oneof![
        Just(Plant::Copy(Tamper::Delete)),
        Just(Plant::Copy(Tamper::Double)),
        folder().prop_map(|to| Plant::Copy(Tamper::Misplace(to))),
        (1_u8..8).prop_map(|other| Plant::Copy(Tamper::Flag(other))),
        (1_i64..100_000).prop_map(|later| Plant::Copy(Tamper::Date(later))),
        Just(Plant::Copy(Tamper::Alter)),
        folder().prop_map(|folder| Plant::Intruder { folder }),
        folder().prop_map(|folder| Plant::Unmirrored { folder }),
        Just(Plant::Vanished),
        Just(Plant::Lost),
        folder().prop_map(Plant::Moved),
        (1_u8..8).prop_map(Plant::Flagged),
    ];
    (any::<usize>(), plant)
}

type Case = (Vec<Step>, Vec<(usize, Plant)>);

fn case(steps: usize, plants: usize) -> impl Strategy<Value = Case> {
    let history = prop::collection::vec(step(), 1..steps);
    (history, prop::collection::vec(plant(), 0..plants))
}

/// What the primary holds, as the driver knows it.
#[derive(Default)]
struct Driver {
    there: Vec<Mail>,
    /// Octets that were deleted somewhere: what is equal to them is left alone from then on, since equal mail that
    /// comes back is the mirror's business.
    buried: Vec<u32>,
    next: u32,
    expected: Vec<String>,
}

impl Driver {
    fn new_mail(&mut self, folder: usize, date: i64, flags: u8) -> Mail {
        self.next += 1;
        Mail {
            folder,
            content: self.next,
            date,
            flags,
        }
    }

    fn choose(&self, which: usize) -> Option<usize> {
        let of =
            |(index, mail): (usize, &Mail)| (!self.buried.contains(&mail.content)).then_some(index);
        let open: Vec<usize> = self.there.iter().enumerate().filter_map(of).collect();
        open.get(which % open.len().max(1)).copied()
    }

    fn step(&mut self, corners: &mut impl Corners, step: Step) {
        match step {
            Step::Deliver {
                folder,
                date,
                flags,
            } => {
                let mail = self.new_mail(folder, date, flags);
                corners.deliver(&mail);
                self.there.push(mail);
            }
            Step::Twin {
                which,
                folder,
                flags,
            } => {
                if let Some(index) = self.choose(which) {
                    let mail = Mail {
                        folder,
                        flags,
                        ..self.there[index].clone()
                    };
                    corners.deliver(&mail);
                    self.there.push(mail);
                }
            }
            Step::Flag { which, flags } => {
                if let Some(index) = self.choose(which) {
                    corners.flag(&self.there[index], flags);
                    self.there[index].flags = flags;
                }
            }
            Step::Move { which, folder } => {
                if let Some(index) = self.choose(which)
                    && self.there[index].folder != folder
                {
                    corners.move_to(&self.there[index], folder);
                    self.there[index].folder = folder;
                }
            }
            Step::Delete { which } => {
                if let Some(index) = self.choose(which) {
                    let mail = self.there.swap_remove(index);
                    corners.delete(&mail);
                    self.buried.push(mail.content);
                }
            }
            Step::Mirror => corners.mirror(),
        }
    }

    /// Plants a difference at a message that has no twin and has not been planted at; notes what must be said of it.
    fn plant(
        &mut self,
        corners: &mut impl Corners,
        planted: &mut Vec<u32>,
        which: usize,
        plant: Plant,
    ) {
        let alone = |mail: &&Mail| {
            self.there
                .iter()
                .filter(|m| m.content == mail.content)
                .count()
                == 1
                && !self.buried.contains(&mail.content)
                && !planted.contains(&mail.content)
        };
        let open: Vec<Mail> = self.there.iter().filter(alone).cloned().collect();
        let chosen = open.get(which % open.len().max(1)).cloned();
        let mut say = |classes: &[&str]| {
            self.expected
                .extend(classes.iter().map(ToString::to_string))
        };
        match plant {
            Plant::Intruder { folder } => {
                say(&["foreign_at_standby standby"]);
                let mail = self.new_mail(folder, 1_650_000_000, 0);
                corners.intrude(&mail);
            }
            Plant::Unmirrored { folder } => {
                say(&["missing_at_standby standby", "missing_in_store store"]);
                let mail = self.new_mail(folder, 1_650_000_000, 1);
                corners.deliver(&mail);
            }
            Plant::Copy(how) => {
                let Some(mail) = chosen else { return };
                match how {
                    Tamper::Delete => say(&["missing_at_standby standby"]),
                    Tamper::Double => say(&["duplicate standby"]),
                    Tamper::Misplace(to) if to == mail.folder => return,
                    Tamper::Misplace(_) => say(&["misplaced standby"]),
                    Tamper::Flag(_) => say(&["flags_differ standby"]),
                    Tamper::Date(_) => say(&["date_differs standby"]),
                    Tamper::Alter => say(&["altered standby"]),
                }
                corners.tamper(&mail, how);
                planted.push(mail.content);
            }
            Plant::Vanished => {
                let Some(mail) = chosen else { return };
                say(&["(missing_at_primary standby)", "(missing_at_primary store)"]);
                corners.delete(&mail);
                planted.push(mail.content);
            }
            Plant::Lost => {
                let Some(mail) = chosen else { return };
                if corners.lose(&mail) {
                    say(&["missing_in_store store"]);
                    planted.push(mail.content);
                }
            }
            Plant::Moved(to) => {
                let Some(mail) = chosen.filter(|mail| mail.folder != to) else {
                    return;
                };
                say(&["misplaced standby", "misplaced store"]);
                corners.move_to(&mail, to);
                planted.push(mail.content);
            }
            Plant::Flagged(other) => {
                let Some(mail) = chosen else { return };
                say(&["flags_differ standby", "flags_differ store"]);
                corners.flag(&mail, mail.flags ^ other);
                planted.push(mail.content);
            }
        }
    }
}

/// Runs a case and demands exactly what was planted.
fn drive(corners: &mut impl Corners, (steps, plants): &Case) -> Result<(), TestCaseError> {
    let mut driver = Driver::default();
    for step in steps {
        driver.step(corners, *step);
    }
    corners.mirror();
    // Copies of what was deleted stay, and say so.
    let stay = corners.differences();
    prop_assert!(
        stay.iter()
            .all(|said| said == "(missing_at_primary standby)"),
        "{stay:?}"
    );
    driver.expected = stay;
    let mut planted = Vec::new();
    for (which, plant) in plants {
        driver.plant(corners, &mut planted, *which, *plant);
    }
    driver.expected.sort();
    prop_assert_eq!(corners.differences(), driver.expected);
    Ok(())
}

fn runner(cases: u32, whole: u32) -> TestRunner {
    let campaign = std::env::var_os("MAILDREIECK_LONG").is_some();
    TestRunner::new(Config {
        cases: if campaign { whole } else { cases },
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    })
}

#[test]
fn exactly_what_is_planted_is_found() {
    let found =
        runner(500, 10_000).run(&case(40, 12), |case| drive(&mut Modelled::default(), &case));
    found.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn exactly_what_is_planted_is_found_at_real_hosters() {
    let hosters = Hosters::start();
    let found = runner(10, 200).run(&case(24, 8), |case| drive(&mut Real::new(&hosters), &case));
    found.unwrap_or_else(|error| panic!("{error}"));
}
