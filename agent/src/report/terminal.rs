//! What a command says to a person: corners side by side, a line for each class, the verdict in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maildreieck_api_spec::vocabulary::Verdict;

use super::Pending;
use super::document::{Document, TriangleReport};
use crate::imap::Protocol;

/// Differences that are named one by one.
const NAMED: usize = 10;

/// The document as text.
#[must_use]
pub fn text(document: &Document) -> String {
    let mut out = String::new();
    for triangle in &document.triangles {
        // Writing to a string does not fail.
        let _ = triangle_text(&mut out, triangle);
    }
    out
}

fn triangle_text(out: &mut String, t: &TriangleReport) -> std::fmt::Result {
    writeln!(out, "{}", t.triangle)?;
    if t.primary_protocol == Some(Protocol::Pop3) {
        writeln!(
            out,
            "  the primary speaks POP3: of it the INBOX alone, without flags"
        )?;
    }
    if let Some(plan) = &t.plan {
        for renamed in &plan.renames {
            let how = if renamed.on_target {
                "rename folder"
            } else {
                "move the messages of"
            };
            writeln!(out, "  would {how} '{}' to '{}'", renamed.from, renamed.to)?;
        }
        let copies: usize = plan.copies.values().map(Vec::len).sum();
        let sends: usize = plan.sends.values().map(Vec::len).sum();
        writeln!(
            out,
            "  would make {} folders, copy {copies} messages, send {sends} from the store, move {}, change flags of {}, write down {} records",
            plan.create.len(),
            plan.moves.iter().map(|m| m.messages.len()).sum::<usize>(),
            plan.flags.iter().map(|f| f.uids.len()).sum::<usize>(),
            plan.records.len()
        )?;
    } else if t.error.is_none() && (t.verdict.is_none() || t.mirrored.messages > 0) {
        writeln!(
            out,
            "  mirrored {} messages, {} bytes",
            t.mirrored.messages, t.mirrored.bytes
        )?;
    }
    if let Some(corners) = &t.corners {
        writeln!(
            out,
            "  {:<10} {:>12} {:>16}  set hash",
            "corner", "messages", "bytes"
        )?;
        for (name, c) in [
            ("primary", &corners.primary),
            ("standby", &corners.standby),
            ("store", &corners.store),
        ] {
            let hash = c.set_hash.get(..16).unwrap_or_default();
            writeln!(
                out,
                "  {name:<10} {:>12} {:>16}  {hash}",
                c.messages, c.bytes
            )?;
        }
    }
    let mut repairs: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for repair in t.repairs.iter().flatten() {
        *repairs
            .entry((repair.class, repair.corner.to_string()))
            .or_default() += 1;
    }
    for ((class, corner), count) in repairs {
        writeln!(
            out,
            "  mended since the last Tx: {class} in {corner}: {count}"
        )?;
    }
    differences_text(out, t)?;
    if let Some(halt) = &t.halt {
        writeln!(
            out,
            "  HELD BACK by the guard: {} of {} messages vanished or need putting back.",
            halt.messages, halt.of
        )?;
        writeln!(
            out,
            "  New mail still flows. If this is meant: maildreieck-agent confirm --config FILE --triangle {} --halt {}",
            t.triangle, halt.id
        )?;
    }
    for refused in &t.refused_folders {
        writeln!(
            out,
            "  NOT LOOKED AT: '{}' in {}, which its server lists and does not open: {}",
            refused.folder, refused.corner, refused.detail
        )?;
    }
    if let Some(pending) = &t.pending {
        pending_text(out, pending)?;
    }
    if t.error.is_some() {
        writeln!(out, "  FAILED; see above")?;
    }
    match t.verdict {
        Some(Verdict::Balanced) => {
            writeln!(out, "  balanced: the three corners hold the same mail")
        }
        Some(Verdict::Unbalanced) => writeln!(
            out,
            "  UNBALANCED: the corners differ, and nothing explains it"
        ),
        Some(Verdict::Unproven) => writeln!(out, "  UNPROVEN: not everything could be compared"),
        None => Ok(()),
    }
}

fn pending_text(out: &mut String, pending: &Pending) -> std::fmt::Result {
    let (mut messages, mut bytes) = (pending.messages, pending.bytes);
    if let Some(full) = &pending.full {
        messages = messages.saturating_sub(full.messages);
        bytes = bytes.saturating_sub(full.bytes);
        write!(
            out,
            "  FULL: {} has no room for {} messages, {} bytes; it lacks",
            full.corner, full.messages, full.bytes
        )?;
        match (full.lacks_bytes, full.lacks_messages) {
            (0, messages) => write!(out, " {messages} messages")?,
            (bytes, 0) => write!(out, " {bytes} bytes")?,
            (bytes, messages) => write!(out, " {bytes} bytes and {messages} messages")?,
        }
        writeln!(
            out,
            ". Make room there or raise its quota; the next run goes on"
        )?;
    }
    if messages == 0 {
        return Ok(());
    }
    write!(
        out,
        "  {messages} messages, {bytes} bytes wait for an account's budget of bytes a day"
    )?;
    match pending.goes_on_at {
        Some(at) => writeln!(out, "; it goes on after {}", at.format("%F %R UTC")),
        None => writeln!(out),
    }
}

fn differences_text(out: &mut String, t: &TriangleReport) -> std::fmt::Result {
    let all = t.discrepancies.as_deref().unwrap_or_default();
    let mut counts: BTreeMap<(bool, &str, String), u64> = BTreeMap::new();
    for d in all {
        *counts
            .entry((d.explained, d.class, d.corner.to_string()))
            .or_default() += d.messages;
    }
    for ((explained, class, corner), count) in counts {
        let how = if explained {
            "explained"
        } else {
            "UNEXPLAINED"
        };
        writeln!(out, "  {class} in {corner}: {count} ({how})")?;
    }
    let unexplained: Vec<_> = all.iter().filter(|d| !d.explained).collect();
    for d in unexplained.iter().take(NAMED) {
        let uid = d.uid.map(|uid| format!(" UID {uid}")).unwrap_or_default();
        writeln!(
            out,
            "    {} in {} '{}'{uid}: {}",
            d.class, d.corner, d.folder, d.detail
        )?;
    }
    if unexplained.len() > NAMED {
        writeln!(
            out,
            "    and {} more; --json lists all",
            unexplained.len() - NAMED
        )?;
    }
    Ok(())
}
