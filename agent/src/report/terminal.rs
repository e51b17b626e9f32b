//! What a command says to a person: corners side by side, a line for each class, the worst differences by the names of
//! their messages, the verdict in words. Whatever a server or a stranger wrote is made harmless first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maildreieck_api_spec::vocabulary::{Corner, Depth, Language};

use super::document::{Discrepancy, Document, TriangleReport, Unseen};
use super::head::harmless;
use super::words::{Words, chosen};
use super::{Full, Pending};
use crate::imap::Protocol;
use crate::plan::reconcile::Contrast;

/// Differences that are named one by one.
const NAMED: usize = 10;
/// Characters of a folder's name, a subject or a sender on a line.
const WIDE: usize = 60;
/// Characters of what a server said.
const SAID: usize = 200;

/// Classes, the worst first: what is lost or false before what is too much, and that before what lies wrong.
const WORST_FIRST: [&str; 12] = [
    "altered",
    "missing_at_standby",
    "missing_in_store",
    "does_not_stay",
    "quarantined",
    "unseen",
    "missing_at_primary",
    "foreign_at_standby",
    "duplicate",
    "misplaced",
    "date_differs",
    "flags_differ",
];

/// The language to speak: the one that was asked for, else the environment's.
#[must_use]
pub fn language(asked: Option<Language>) -> Language {
    chosen(asked, |name| std::env::var(name).ok())
}

/// The document as text.
#[must_use]
pub fn text(document: &Document, language: Language) -> String {
    let mut out = Out {
        words: Words(language),
        text: String::new(),
    };
    for triangle in &document.triangles {
        out.triangle(triangle);
    }
    out.text
}

struct Out {
    words: Words,
    text: String,
}

impl Out {
    fn line(&mut self, depth: usize, text: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn say(&mut self, key: &str, values: &[(&'static str, &str)]) {
        let text = self.words.say(key, values);
        self.line(1, &text);
    }

    /// Columns as wide as what is in them: so many to the left, the others to the right.
    fn table(&mut self, depth: usize, left: usize, rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(at, (cell, width))| {
                let width = *width;
                if at < left {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            let cells: Vec<String> = cells.collect();
            self.line(depth, &cells.join("  "));
        }
    }

    fn triangle(&mut self, t: &TriangleReport) {
        let w = self.words;
        let name = harmless(&t.triangle, WIDE);
        let title = match (t.tx_at, t.depth) {
            (Some(at), Some(depth)) => {
                let (at, depth) = (w.instant(at), depth.as_str());
                w.say(
                    "title-tx",
                    &[("triangle", &name), ("at", &at), ("depth", depth)],
                )
            }
            _ => w.say("title", &[("triangle", &name)]),
        };
        self.line(0, &title);
        if t.primary_protocol == Some(Protocol::Pop3) {
            self.say("pop3", &[]);
        }
        self.work(t);
        self.corners(t);
        self.repairs(t);
        self.differences(t);
        if let Some(halt) = &t.halt {
            let (messages, of) = (w.count(halt.messages), w.count(halt.of));
            self.say("held-back", &[("messages", &messages), ("of", &of)]);
            let command = format!(
                "maildreieck-agent confirm --config FILE --triangle {name} --halt {}",
                halt.id
            );
            self.say("release", &[("command", &command)]);
        }
        for refused in &t.refused_folders {
            let (folder, detail) = (
                harmless(&refused.folder, WIDE),
                harmless(&refused.detail, SAID),
            );
            let corner = w.corner(refused.corner);
            self.say(
                "not-looked-at",
                &[
                    ("folder", &folder),
                    ("corner", &corner),
                    ("detail", &detail),
                ],
            );
        }
        for unread in &t.unread_messages {
            let (folder, detail) = (
                harmless(&unread.folder, WIDE),
                harmless(&unread.detail, SAID),
            );
            let (corner, uid) = (w.corner(unread.corner), unread.uid.to_string());
            self.say(
                "unread",
                &[
                    ("folder", &folder),
                    ("corner", &corner),
                    ("uid", &uid),
                    ("detail", &detail),
                ],
            );
        }
        if let Some(pending) = &t.pending {
            self.pending(pending);
        }
        self.depth(t);
        if let Some(error) = &t.error {
            self.say("failed", &[("reason", &harmless(&error.message, 2 * SAID))]);
        }
        if let Some(verdict) = t.verdict {
            self.say(&format!("verdict-{}", verdict.as_str()), &[]);
        }
    }

    /// What was sent, or would be done.
    fn work(&mut self, t: &TriangleReport) {
        let w = self.words;
        let count = |n: usize| w.count(u64::try_from(n).unwrap_or(u64::MAX));
        if let Some(plan) = &t.plan {
            for renamed in &plan.renames {
                let key = if renamed.on_target {
                    "would-rename"
                } else {
                    "would-move"
                };
                let from = harmless(&renamed.from.to_string(), WIDE);
                let to = harmless(&renamed.to.to_string(), WIDE);
                self.say(key, &[("from", &from), ("to", &to)]);
            }
            self.say(
                "would-do",
                &[
                    ("folders", &count(plan.create.len())),
                    ("copies", &count(plan.copies.values().map(Vec::len).sum())),
                    ("sends", &count(plan.sends.values().map(Vec::len).sum())),
                    (
                        "moves",
                        &count(plan.moves.iter().map(|m| m.messages.len()).sum()),
                    ),
                    (
                        "flags",
                        &count(plan.flags.iter().map(|f| f.uids.len()).sum()),
                    ),
                    ("records", &count(plan.records.len())),
                ],
            );
        } else if t.mirrored.messages > 0 || t.error.is_none() && t.verdict.is_none() {
            let bytes = w.count(t.mirrored.bytes);
            let text = w.say_of("mirrored", t.mirrored.messages, &[("bytes", &bytes)]);
            self.line(1, &text);
        }
    }

    fn corners(&mut self, t: &TriangleReport) {
        let Some(c) = &t.corners else { return };
        let w = self.words;
        let corners = [
            (Corner::Primary, &c.primary),
            (Corner::Standby, &c.standby),
            (Corner::Store, &c.store),
        ];
        let row = |name: String, cells: [String; 3]| {
            let mut row = vec![name];
            row.extend(cells);
            row
        };
        self.table(
            1,
            1,
            &[
                row(String::new(), corners.map(|(corner, _)| w.corner(corner))),
                row(
                    w.say("messages", &[]),
                    corners.map(|(_, c)| w.count(c.messages)),
                ),
                row(w.say("bytes", &[]), corners.map(|(_, c)| w.count(c.bytes))),
                row(
                    w.say("set-hash", &[]),
                    corners.map(|(_, c)| c.set_hash.get(..16).unwrap_or_default().to_owned()),
                ),
            ],
        );
    }

    fn repairs(&mut self, t: &TriangleReport) {
        let w = self.words;
        let mut counts: BTreeMap<(&str, Corner), u64> = BTreeMap::new();
        for repair in t.repairs.iter().flatten() {
            *counts.entry((repair.class, repair.corner)).or_default() += 1;
        }
        if counts.is_empty() {
            return;
        }
        self.say("mended", &[]);
        let row = |((class, corner), count): (&(&str, Corner), &u64)| {
            let word = (*class).to_owned();
            vec![w.class(class), word, w.corner(*corner), w.count(*count)]
        };
        let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
        self.table(2, 3, &rows);
    }

    fn differences(&mut self, t: &TriangleReport) {
        let w = self.words;
        let all = t.discrepancies.as_deref().unwrap_or_default();
        if all.is_empty() {
            return;
        }
        let mut counts: BTreeMap<(bool, usize, &str, Corner), u64> = BTreeMap::new();
        for d in all {
            *counts
                .entry((d.explained, rank(d.class), d.class, d.corner))
                .or_default() += d.messages;
        }
        self.say("differences", &[]);
        let row = |((explained, _, class, corner), count): (&(bool, usize, &str, Corner), &u64)| {
            let how = if *explained {
                "explained"
            } else {
                "unexplained"
            };
            vec![
                w.say(how, &[]),
                w.class(class),
                (*class).to_owned(),
                w.corner(*corner),
                w.count(*count),
            ]
        };
        let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
        self.table(2, 4, &rows);
        let mut worst: Vec<&Discrepancy> = all.iter().filter(|d| !d.explained).collect();
        worst.sort_by_key(|d| (rank(d.class), Reverse(d.date)));
        if worst.is_empty() {
            return;
        }
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (shown, count) = (worst.len().min(NAMED), number(worst.len()));
        let heading = w.say_of("worst", count, &[("shown", &w.count(number(shown)))]);
        self.line(1, &heading);
        for d in worst.iter().take(NAMED) {
            self.named(d);
        }
        let rest = number(worst.len() - shown);
        if rest > 0 {
            let rest = w.say_of("rest", rest, &[]);
            self.line(2, &rest);
        }
    }

    /// A difference by what its message is called.
    fn named(&mut self, d: &Discrepancy) {
        let w = self.words;
        let (class, corner) = (w.class(d.class), w.corner(d.corner));
        let folder = harmless(&d.folder, WIDE);
        let place = [("class", &*class), ("folder", &folder), ("corner", &corner)];
        let text = match (d.uid, d.uid_corner) {
            (Some(uid), Some(there)) => {
                let (uid, there) = (uid.to_string(), w.corner(there));
                let uid = [("uid", &*uid), ("uid-corner", &there)];
                w.say("named-uid", &[&place[..], &uid].concat())
            }
            _ => w.say("named", &place),
        };
        self.line(2, &text);
        let mut parts = Vec::new();
        match &d.subject {
            Some(subject) => {
                parts.push(w.say("subject", &[("subject", &harmless(subject, WIDE))]));
            }
            None if d.sender.is_some() => parts.push(w.say("no-subject", &[])),
            None => {}
        }
        if let Some(sender) = &d.sender {
            parts.push(w.say("from", &[("sender", &harmless(sender, WIDE))]));
        }
        parts.extend(d.date.map(|date| w.instant(date)));
        if !parts.is_empty() {
            self.line(3, &parts.join(", "));
        }
        if let Some(contrast) = &d.contrast {
            let (left, right) = self.both(contrast);
            let left_corner = w.corner(Corner::Primary);
            let text = w.say(
                "contrast",
                &[
                    ("left-corner", &left_corner),
                    ("left", &left),
                    ("right-corner", &corner),
                    ("right", &right),
                ],
            );
            self.line(3, &text);
        }
    }

    fn both(&self, contrast: &Contrast) -> (String, String) {
        let w = self.words;
        let flags = |words: &String| {
            if words.is_empty() {
                w.say("no-flags", &[])
            } else {
                harmless(words, WIDE)
            }
        };
        let volume = |[messages, bytes]: &[u64; 2]| {
            let (messages, bytes) = (w.count(*messages), w.count(*bytes));
            w.say("volume", &[("messages", &messages), ("bytes", &bytes)])
        };
        match contrast {
            Contrast::Flags(a, b) => (flags(a), flags(b)),
            Contrast::Dates(a, b) => {
                let date = |date: crate::plan::identity::InternalDate| {
                    let known = date.to_utc().map(|at| at.format("%F %T UTC").to_string());
                    known.unwrap_or_else(|| date.0.to_string())
                };
                (date(*a), date(*b))
            }
            Contrast::Folders(a, b) => (
                harmless(&a.to_string(), WIDE),
                harmless(&b.to_string(), WIDE),
            ),
            Contrast::Volumes(a, b) => (volume(a), volume(b)),
        }
    }

    fn pending(&mut self, pending: &Pending) {
        let w = self.words;
        let (mut messages, mut bytes) = (pending.messages, pending.bytes);
        if let Some(full) = &pending.full {
            messages = messages.saturating_sub(full.messages);
            bytes = bytes.saturating_sub(full.bytes);
            self.full(full);
        }
        if messages == 0 {
            return;
        }
        let (messages, bytes) = (w.count(messages), w.count(bytes));
        self.say("waits", &[("messages", &messages), ("bytes", &bytes)]);
        if let Some(at) = pending.goes_on_at {
            self.say("goes-on", &[("at", &w.instant(at))]);
        }
    }

    fn full(&mut self, full: &Full) {
        let w = self.words;
        let (bytes, messages) = (w.count(full.lacks_bytes), w.count(full.lacks_messages));
        let lacks = [("bytes", &*bytes), ("messages", &messages)];
        let lacks = match (full.lacks_bytes, full.lacks_messages) {
            (0, _) => w.say("lacks-messages", &lacks),
            (_, 0) => w.say("lacks-bytes", &lacks),
            _ => w.say("lacks-both", &lacks),
        };
        let (messages, bytes) = (w.count(full.messages), w.count(full.bytes));
        self.say(
            "full",
            &[
                ("corner", &w.corner(full.corner)),
                ("messages", &messages),
                ("bytes", &bytes),
                ("lacks", &lacks),
            ],
        );
    }

    /// What was compared, and what was not looked at.
    fn depth(&mut self, t: &TriangleReport) {
        let w = self.words;
        let (Some(depth), Some(coverage)) = (t.depth, &t.coverage) else {
            return;
        };
        let (now, all) = (coverage.content_verified_now, coverage.messages);
        match depth {
            Depth::Content if now < all => self.say("depth-content-in-part", &[]),
            _ => self.say(&format!("depth-{}", depth.as_str()), &[]),
        }
        let (read, of) = (w.count(now), w.count(all));
        self.say("coverage", &[("now", &read), ("messages", &of)]);
        let unread = w.count(all.saturating_sub(now));
        let unseen = t.unseen_at_this_depth.iter().flatten();
        let unseen = unseen.map(|unseen| {
            let key = match unseen {
                Unseen::Messages => "unseen-messages",
                Unseen::Flags => "unseen-flags",
                Unseen::Dates => "unseen-dates",
                Unseen::Octets => "unseen-octets",
            };
            w.say(key, &[("count", &unread)])
        });
        let unseen: Vec<String> = unseen.collect();
        if !unseen.is_empty() {
            self.say("unseen", &[("list", &unseen.join(", "))]);
        }
        if coverage.budget_ended {
            self.say("budget-ended", &[]);
        }
        if let Some(at) = coverage.oldest_proof {
            self.say("oldest", &[("at", &w.instant(at))]);
        }
    }
}

fn rank(class: &str) -> usize {
    let place = WORST_FIRST.iter().position(|worse| *worse == class);
    place.unwrap_or(WORST_FIRST.len())
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
